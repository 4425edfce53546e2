-- Sees which life of the server had the data last, and notes the present one if none had it. It writes twice, and so between a
-- MULTI and an EXEC of the server's log, which it closes if they were open.
--
-- KEYS  the note.
-- ARGV  the server's run_id.
-- Returns 1 if another life had the data, which is to be noted yet, else 0.
local note, life = KEYS[1], ARGV[1]
local before = redis.call('GET', note)
if before == life then return 0 end
redis.call('SET', note, '')
redis.call('SET', note, before and '' or life)
return before and 1 or 0
