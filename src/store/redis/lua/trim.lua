-- Drops what an endpoint has past its limits of events and bytes, or so many bytes of a burden: one bounded step.
--
-- KEYS  lib's, with all lanes of the endpoint's layouts.
-- ARGV  lib's; then the layouts that the lanes were named by, most events to drop, bytes that are to go though the
--       limits allow them ('' for none).
-- Returns {what, dropped for events, dropped for bytes, lanes emptied, endpoints to release, bytes that went}; what is
--       done, more (call again) or again (the layouts are others now: read them and call again).
local LAYOUTS_READ, MOST, RELIEF = ARGV[rest], number(ARGV[rest + 1]), number(ARGV[rest + 2])
local e = E[1]
if not e[THERE] or RELIEF and not is_burden(e) then return {'done', 0, 0, {}, {}, 0} end
if shape(e) ~= LAYOUTS_READ then return {'again', 0, 0, {}, {}, 0} end
local before = e[BY] + e[DB]
local events_most, bytes_most = events_max, bytes_max
if RELIEF then events_most, bytes_most = e[EV], before - RELIEF end

local function never() return false end
local function any() return true end
local events = drop_oldest(e, never, any, math.min(MOST, e[EV] - events_most), 'backlog_events', true)
local bytes, evicted, left = 0, 0, MOST - events
local function past() return e[BY] + e[DB] > bytes_most end
while evicted < left and past() and e[DN] > 0 do
  forget_dropped(e)
  evicted = evicted + 1
end
if evicted < left and e[DN] == 0 then bytes = drop_oldest(e, never, past, left - evicted, 'backlog_bytes', false) end
if events > 0 then tell_many(e, 'backlog_events', events) end
if bytes > 0 then tell_many(e, 'backlog_bytes', bytes) end
save()

local emptied = {}
for i = 1, #L do
  if L[i][ST] == 'idle' then emptied[#emptied + 1] = i end
end
local full = events + evicted + bytes >= MOST
return {full and 'more' or 'done', events, bytes, emptied, releasing(), before - e[BY] - e[DB]}
