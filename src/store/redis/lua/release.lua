-- Makes the held lanes of an endpoint's oldest layout ready: after it was enabled, its workspace's plan came back, or
-- an older layout was drained. A lane that still may not send is found to be held again when it is claimed.
--
-- KEYS  lib's, with all lanes of the endpoint's layouts.
-- ARGV  lib's; then the layouts that the lanes were named by.
-- Returns {what, lanes that became ready}; what is done or again (the layouts are others now).
--
-- A lane that waits for a retry is held too if the endpoint's generation is another one than at its claim.
local LAYOUTS = ARGV[rest]
local e = E[1]
if not endpoint(e) then
  call('SREM', RELEASING, e.ws.name .. '/' .. e.name)
  return {'done', {}}
end
if shape(e) ~= LAYOUTS then return {'again', {}} end
local oldest = layouts(e)[1].n
for _, l in ipairs(e.lanes) do
  if l.layout == oldest then
    lane(l)
    local round_is_over = l.st == 'waiting' and l.un > now and l.gn ~= e.gen and e.st == 'e'
    if l.st == 'held' or round_is_over then
      put(l, 'ready', now)
      l.fresh = true
    end
  end
end
call('SREM', RELEASING, e.ws.name .. '/' .. e.name)
save()
return {'done', fresh()}
