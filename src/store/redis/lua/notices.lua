-- Leases notices that are due.
--
-- KEYS  outbox, notices.
-- ARGV  now_ms ('' for the server's time), most notices, length of a lease in ms.
-- Returns {id, channel, sendings begun before, text} per notice; the text is kind, at_ms, workspace, endpoint, event,
--       reason and count, a line each.
local outbox, notices = KEYS[1], KEYS[2]
local now, limit, lease_ms = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local due, leased = redis.call('ZRANGEBYSCORE', outbox, '-inf', now, 'LIMIT', 0, limit), {}
for i = 1, #due do
  local id, channel = string.match(due[i], '^(%S+) (%S+)$')
  redis.call('ZADD', outbox, now + lease_ms, due[i])
  leased[i] = {id, channel, redis.call('HINCRBY', notices, due[i], 1) - 1, redis.call('HGET', notices, id)}
end
return leased
