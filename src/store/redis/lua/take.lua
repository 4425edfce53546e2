-- Takes a text that is kept for a time.
--
-- KEYS  the text's.
-- ARGV  now_ms ('' for the server's time).
-- Returns the text, or nil when there is none or its time is over.
local key, now = KEYS[1], tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

local until_text, kept = string.match(redis.call('GETDEL', key) or '', '^(%d+) (.*)$')
return until_text and now < tonumber(until_text) and kept or false
