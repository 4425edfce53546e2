-- Reads lanes whose current event has failed in its present round, those first that hold most events.
--
-- KEYS  lib's, with all lanes of the endpoint's layouts.
-- ARGV  lib's; then the layouts that its lanes were named by, and how many lanes are wanted at most.
-- Returns {} (there is no such endpoint), {'again'} (its layouts are others now) or {'there', {lane index, attempt to be
--       made, when it is due (0 while it is being made, or where the lane is held), events, id of the current one}, …}.
local e, layouts_read, most = E[1], ARGV[rest], number(ARGV[rest + 1])
if not e[THERE] then return {} end
if shape(e) ~= layouts_read then return {'again'} end

local found = {}
for _, l in ipairs(e[LANES]) do
  if l[SQ] ~= 0 and l[AT] > 0 and l[GN] == e[GEN] then
    found[#found + 1] = {lane = l, events = call('LLEN', l[QUEUE]) - l[PA]}
  end
end
table.sort(found, function(a, b)
  if a.events ~= b.events then return a.events > b.events end
  return a.lane[INDEX] < b.lane[INDEX]
end)

local reply = {'there'}
for i = 1, math.min(most, #found) do
  local l = found[i].lane
  local entry = call('LINDEX', l[QUEUE], l[PA])
  local id = entry and string.match(entry, '^%d+ %d+ %d+ %S+ %d %S+ %S+ (%S+)')
  local due_ms = l[LE] > now and 0 or l[UN]
  if id then reply[#reply + 1] = {l[INDEX], l[AT] + 1, due_ms, found[i].events, id} end
end
return reply
