-- Keeps a text for a time, unless there is one.
--
-- KEYS  the text's.
-- ARGV  now_ms ('' for the server's time), the text, how long in ms.
-- Returns the text that is there already, or nil.
local key, now, text, span_ms = KEYS[1], tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

local until_text, kept = string.match(redis.call('GET', key) or '', '^(%d+) (.*)$')
if until_text and now < tonumber(until_text) then return kept end
-- The expiry only cleans up, well after the end.
redis.call('SET', key, string.format('%.0f %s', now + span_ms, text), 'PX', span_ms * 2)
return false
