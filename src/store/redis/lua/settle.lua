-- Records what came of a notice's sending.
--
-- KEYS  outbox, notices.
-- ARGV  now_ms ('' for the server's time), id, channel, ms until it is tried again ('-' when it is out or given up).
-- Returns 1 if the notice was there, else 0.
local outbox, notices = KEYS[1], KEYS[2]
local now, id, channel, pause_ms = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local entry = id .. ' ' .. channel
if not redis.call('ZSCORE', outbox, entry) then return 0 end
if pause_ms then
  redis.call('ZADD', outbox, now + pause_ms, entry)
  return 1
end
redis.call('ZREM', outbox, entry)
redis.call('HDEL', notices, entry)
local others = redis.call('ZSCORE', outbox, id .. ' amqp') or redis.call('ZSCORE', outbox, id .. ' mail')
if not others then redis.call('HDEL', notices, id) end
return 1
