-- Sets a workspace's record.
--
-- KEYS  lib's, one workspace.
-- ARGV  lib's; then the routing version that was read, the new one, its routing, the record, its plan, '1' if held
--       lanes are to be released.
-- Returns 1, or 0 when somebody else changed the routing meanwhile.
local w, version, version_new, routing = W[1], ARGV[rest], ARGV[rest + 1], ARGV[rest + 2]
local record, plan, release = ARGV[rest + 3], ARGV[rest + 4], ARGV[rest + 5] == '1'
local v = call('HMGET', w.key, 'rv', 'plan', 'ne', 'nd')
if (v[1] or '1') ~= version then return 0 end
local plan_before, enabled, disabled = v[2] or '', v[3] or 0, v[4] or 0
if plan_before ~= plan then
  call('HINCRBY', PART, 'ne:' .. plan_before, 0 - enabled)
  call('HINCRBY', PART, 'nd:' .. plan_before, 0 - disabled)
  call('HINCRBY', PART, 'ne:' .. plan, enabled)
  call('HINCRBY', PART, 'nd:' .. plan, disabled)
end
call('HSET', w.key, 'rec', record, 'plan', plan, 'rv', version_new, 'rt', routing)
call('ZADD', WORKSPACES, 0, w.name)
if release then
  local names = call('HKEYS', w.eps)
  for i = 1, #names do call('SADD', RELEASING, w.name .. '/' .. names[i]) end
end
return 1
