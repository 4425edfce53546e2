-- Reads a page of the dropped list, oldest event first.
--
-- KEYS  lib's, one endpoint.
-- ARGV  lib's; then the number that the events are above ('' for all), most events.
-- Returns {text, shared body} per event, the text being `dropped_ms reason\nentry`.
local e, after, limit = E[1], ARGV[rest], ARGV[rest + 1]
local ids = call('ZRANGEBYSCORE', e[DROPPEDIX], after == '' and '-inf' or '(' .. after, '+inf', 'LIMIT', 0, limit)
local page = {}
for i = 1, #ids do
  local text = call('HGET', e[DROPPED], ids[i])
  local ref = head(string.sub(text, string.find(text, '\n', 1, true) + 1)).ref
  page[i] = {text, ref ~= '-' and call('HGET', BODIES, ref) or ''}
end
return page
