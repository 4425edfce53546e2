-- Creates an endpoint or replaces its configuration, with the workspace's routing, in one step.
--
-- KEYS  lib's, one endpoint, and its lane if it has one in all.
-- ARGV  lib's; then the routing version that was read, the new one, its routing, the configuration, its version, the
--       layouts that were read, the new ones, '1' if there would be too many, most endpoints of a workspace.
-- Returns done, release (done, and lanes are to be released), again (somebody changed the routing or used a layout
--       meanwhile), conflict, missing, limit or draining.
local e = E[1]
local w = e[WS]
local version, version_new, routing, config, config_version =
  ARGV[rest], ARGV[rest + 1], ARGV[rest + 2], ARGV[rest + 3], number(ARGV[rest + 4])
local layouts_read, layouts_new, draining, endpoints_max =
  ARGV[rest + 5], ARGV[rest + 6], ARGV[rest + 7] == '1', number(ARGV[rest + 8])

local there = e[THERE]
-- Whoever lost the answer asks again.
if there and number(e[CV]) == config_version and call('HGET', w.eps, ep_name(e)) == config then return 'done' end
if config_version == 1 then
  if there or call('HEXISTS', PURGING, ep_path(e)) == 1 then return 'conflict' end
  if call('HLEN', w.eps) >= endpoints_max then return 'limit' end
else
  if not there then return 'missing' end
  if number(e[CV]) + 1 ~= config_version then return 'conflict' end
end
if (call('HGET', w.key, 'rv') or '1') ~= version then return 'again' end
if there and shape(e) ~= layouts_read then return 'again' end
if draining then return 'draining' end

if there then
  if layouts_new ~= layouts_read then
    if e[ON] == 1 then shelve(L[1]) end
    local busy_now = {}
    for _, layout in ipairs(layouts(e)) do busy_now[layout.n] = layout.busy end
    e[LAYOUTS] = {}
    for n, lanes, used in string.gmatch(layouts_new, '(%d+):(%d+):(%d)') do
      local layout = {n = number(n), lanes = number(lanes), busy = busy_now[number(n)] or 0, used = used}
      e[LAYOUTS][#e[LAYOUTS] + 1] = layout
    end
    relay(e)
  end
else
  local n, lanes = string.match(layouts_new, '^(%d+):(%d+)')
  call('HSET', e[KEY], 'lay', n .. ':' .. lanes .. ':0:0')
  e[STATE], e[ON] = 'e', lanes == '1' and 1 or 0
  count(w, 'e', 1)
end
e[CV], e[DIRTY] = config_version, true
save()
call('HSET', w.eps, ep_name(e), config)
call('HSET', w.key, 'rv', version_new, 'rt', routing)
call('ZADD', WORKSPACES, 0, w.name)
return e[RELEASES] and 'release' or 'done'
