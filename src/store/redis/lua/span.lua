-- Finds the dropped events of a span of time, oldest event first, without their bodies.
--
-- KEYS  lib's, one endpoint.
-- ARGV  lib's; then the span's first ms and the first one behind it, the number that the events are above ('' for all),
--       how many events are looked at.
-- Returns {number of the last one that was looked at (0 when there are no more), their ids}.
local e, since, before, after, limit = E[1], number(ARGV[rest]), number(ARGV[rest + 1]), ARGV[rest + 2], ARGV[rest + 3]
local looked = call('ZRANGEBYSCORE', e[DROPPEDIX], after == '' and '-inf' or '(' .. after, '+inf', 'WITHSCORES',
  'LIMIT', 0, limit)
local found = {}
for i = 1, #looked, 2 do
  local at_ms = number(call('ZSCORE', e[DROPPEDAT], looked[i]))
  if since <= at_ms and at_ms < before then found[#found + 1] = looked[i] end
end
return {#looked < 2 * limit and 0 or number(looked[#looked]), found}
