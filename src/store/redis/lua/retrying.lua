-- Reads lanes whose current event has failed in its present round, those first that hold most events.
--
-- KEYS  lib's, with all lanes of the endpoint's layouts.
-- ARGV  lib's; then the layouts that its lanes were named by, and how many lanes are wanted at most.
-- Returns {} (there is no such endpoint), {'again'} (its layouts are others now) or {'there', {lane index, attempt to be
--       made, when it is due (0 while it is being made, or where the lane is held), events, id of the current one}, …}.
local e, layouts_read, most = E[1], ARGV[rest], number(ARGV[rest + 1])
if not endpoint(e) then return {} end
if shape(e) ~= layouts_read then return {'again'} end

local found = {}
for _, l in ipairs(e.lanes) do
  lane(l)
  if l.sq ~= 0 and l.at > 0 and l.gn == e.gen then
    found[#found + 1] = {lane = l, events = call('LLEN', l.queue) - l.pa}
  end
end
table.sort(found, function(a, b)
  if a.events ~= b.events then return a.events > b.events end
  return a.lane.index < b.lane.index
end)

local reply = {'there'}
for i = 1, math.min(most, #found) do
  local l = found[i].lane
  local entry = call('LINDEX', l.queue, l.pa)
  local id = entry and string.match(entry, '^%d+ %d+ %d+ %S+ %d %S+ %S+ (%S+)')
  local due_ms = l.le > now and 0 or l.un
  if id then reply[#reply + 1] = {l.index, l.at + 1, due_ms, found[i].events, id} end
end
return reply
