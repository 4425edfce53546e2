-- Lanes of a pool that something should happen to by now.
--
-- KEYS  the pool's due set.
-- ARGV  now_ms ('' for the server's time), how many at most.
-- Returns {lane, score, lane, score, …, now_ms}.
local due_set, now, limit = KEYS[1], tonumber(ARGV[1]), ARGV[2]
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local due = redis.call('ZRANGEBYSCORE', due_set, '-inf', now, 'WITHSCORES', 'LIMIT', 0, limit)
due[#due + 1] = string.format('%.0f', now)
return due
