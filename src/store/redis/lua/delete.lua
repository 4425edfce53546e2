-- Deletes endpoints of a workspace, and the workspace too if asked, with its routing, in one step.
--
-- KEYS  lib's, one workspace; all of its endpoints if it is deleted.
-- ARGV  lib's; then the routing version that was read, the new one, its routing, '1' to delete the workspace.
-- Returns {what, events dropped}; what is done, missing or again (somebody changed the routing meanwhile).
local w, version, version_new, routing = W[1], ARGV[rest], ARGV[rest + 1], ARGV[rest + 2]
local whole = ARGV[rest + 3] == '1'
if (call('HGET', w.key, 'rv') or '1') ~= version then return {'again', 0} end
if whole then
  if not call('ZSCORE', WORKSPACES, w.name) then return {'missing', 0} end
elseif not E[1][THERE] then
  return {'missing', 0}
end

local dropped = 0
for i = 1, #E do
  if E[i][THERE] then dropped = dropped + remove(E[i]) end
end
call('HSET', w.key, 'rv', version_new, 'rt', routing)
if whole then call('HDEL', w.key, 'rec', 'plan') end
if call('HLEN', w.eps) == 0 and call('HEXISTS', w.key, 'rec') == 0 then call('ZREM', WORKSPACES, w.name) end
save()
return {'done', dropped}
