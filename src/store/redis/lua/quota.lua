-- Reads a workspace's error windows.
--
-- KEYS  lib's, one workspace with all its endpoints.
-- ARGV  lib's.
-- Returns {failures, when the oldest ended (0 without one), endpoint, its failures, …}.
local windows = {W[1].fails}
if quota_scope == 'endpoint' then
  windows = {}
  for i = 1, #E do windows[i] = E[i][FAILS] end
end
local used, oldest, by_endpoint = 0, 0, {}
for _, window in ipairs(windows) do
  local failures = call('ZRANGEBYSCORE', window, '(' .. string.format('%.0f', now - window_ms), '+inf', 'WITHSCORES')
  for i = 1, #failures, 2 do
    local name = string.match(failures[i], '^%S+')
    by_endpoint[name] = (by_endpoint[name] or 0) + 1
    used = used + 1
    if oldest == 0 or number(failures[i + 1]) < oldest then oldest = number(failures[i + 1]) end
  end
end
local reply = {used, oldest}
for i = 1, #E do
  local failures = by_endpoint[ep_name(E[i])]
  if failures then
    reply[#reply + 1] = ep_name(E[i])
    reply[#reply + 1] = failures
  end
end
return reply
