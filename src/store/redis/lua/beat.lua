-- Says that a deliverer is alive, or only asks; answers with all that are.
--
-- KEYS  the members.
-- ARGV  now_ms ('' for the server's time), ms after which a silent one is dead, the deliverer's name
--       ('' only asks).
-- Returns the names.
local members, now, dead_after_ms, member = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
if member ~= '' then redis.call('ZADD', members, now, member) end
redis.call('ZREMRANGEBYSCORE', members, '-inf', now - dead_after_ms)
local alive = redis.call('ZRANGE', members, 0, -1)
table.sort(alive)
return alive
