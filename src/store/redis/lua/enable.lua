-- Enables a disabled endpoint, if asked after dropping what waits: then in bounded steps, the last of which enables.
--
-- KEYS  lib's, with all lanes of the endpoint's layouts.
-- ARGV  lib's; then the layouts that the lanes were named by, '1' to drop, most events to drop, the number of the last
--       event to drop ('' in the first step).
-- Returns {what, dropped, the number of the last event to drop, endpoints to release}; what is done, missing, more
--       (call again) or again (the layouts are others now).
local LAYOUTS_READ, DISCARD, MOST, last = ARGV[rest], ARGV[rest + 1] == '1', number(ARGV[rest + 2]), number(ARGV[rest + 3])
local e = E[1]
if not e[THERE] then return {'missing', 0, 0, {}} end
if e[STATE] == 'e' then return {'done', 0, 0, {}} end
if shape(e) ~= LAYOUTS_READ then return {'again', 0, 0, {}} end
last = last or e[SEQ]

local dropped = 0
if DISCARD then
  local function unleased(l) return l[LE] <= now end
  local function waited(event) return event.seq <= last end
  dropped = drop_oldest(e, unleased, waited, MOST, 'discarded', true)
  if dropped > 0 then tell_many(e, 'discarded', dropped) end
end
if dropped == MOST then
  save()
  return {'more', dropped, last, releasing()}
end
count(e[WS], 'd', -1)
count(e[WS], 'e', 1)
e[STATE], e[GEN], e[DIRTY], e[RELEASES] = 'e', e[GEN] + 1, true, true
call('HDEL', e[KEY], 'wy', 'ms')
call('ZREM', DISABLED, ep_path(e))
call('SADD', RELEASING, ep_path(e))
tell('enabled-' .. ep_name(e) .. '-' .. e[GEN], 'endpoint.enabled', e, '', 'manual', '', now)
save()
return {'done', dropped, last, releasing()}
