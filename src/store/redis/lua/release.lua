-- Makes the held lanes of an endpoint's oldest layout ready: after it was enabled, its workspace's plan came back, or
-- an older layout was drained. A lane that still may not send is found to be held again when it is claimed.
--
-- KEYS  lib's, with all lanes of the endpoint's layouts.
-- ARGV  lib's; then the layouts that the lanes were named by.
-- Returns {what, lanes that became ready}; what is done or again (the layouts are others now).
--
-- A lane that waits for a retry is held too if the endpoint's generation is another one than at its claim.
local LAYOUTS_READ = ARGV[rest]
local e = E[1]
if not e[THERE] then
  call('SREM', RELEASING, ep_path(e))
  return {'done', {}}
end
if shape(e) ~= LAYOUTS_READ then return {'again', {}} end
local oldest = layouts(e)[1].n
for _, l in ipairs(e[LANES]) do
  if l[LAYOUT] == oldest then
    local round_is_over = l[ST] == 'waiting' and l[UN] > now and l[GN] ~= e[GEN] and e[STATE] == 'e'
    if l[ST] == 'held' or round_is_over then
      put(l, 'ready', now)
      l[FRESH] = true
    end
  end
end
call('SREM', RELEASING, ep_path(e))
save()
return {'done', fresh()}
