-- Puts events once more at the end of their lanes.
--
-- KEYS  lib's, with all lanes of the endpoint's layouts.
-- ARGV  lib's; then the layouts that the lanes were named by, dropped or kept, the events' ids.
-- Returns {what, '1' or '0' per event, lanes that became ready}; what is done or again (the layouts are others now).
local LAYOUTS, FROM = ARGV[rest], ARGV[rest + 1]
local e = E[1]
if not endpoint(e) then return {'done', '', {}} end
if shape(e) ~= LAYOUTS then return {'again', '', {}} end

local newest = layouts(e)[#layouts(e)]
local places = {}
for _, l in ipairs(e.lanes) do
  if l.layout == newest.n then places[#places + 1] = l end
end
-- A contact's lane: its 64-bit hash, in two halves that a Lua number holds exactly, modulo the number of lanes.
local function lane_of(contact)
  if contact == '-' then return places[1] end
  local high, low, n = number(string.sub(contact, 1, 8), 16), number(string.sub(contact, 9), 16), #places
  return places[((high % n) * (4294967296 % n) + low) % n + 1]
end

local kept = FROM == 'kept' and call('LRANGE', e.kept, 0, -1) or {}
local kept_by_id = {}
for i = 1, #kept do kept_by_id[head(kept[i]).id] = kept[i] end

local done = {}
for i = rest + 2, #ARGV do
  local entry = kept_by_id[ARGV[i]]
  if FROM == 'kept' and entry then
    local ref = head(entry).ref
    if ref ~= '-' then call('HINCRBY', REFS, ref, 1) end
  elseif FROM == 'dropped' then
    entry = undrop(e, ARGV[i])
  end
  done[#done + 1] = entry and '1' or '0'
  if entry then
    local h = head(entry)
    local ref, line, body = string.match(entry, '^%d+ %d+ %d+ (%S+) %d ([^\n]*)\n(.*)$')
    join(lane_of(h.contact), h.len, ref .. ' 1 ' .. line, body)
  end
end
save()
return {'done', table.concat(done), fresh()}
