-- Reads a page of an attempts log, newest first.
--
-- KEYS  lib's, one endpoint.
-- ARGV  lib's; then the number that the rows are below ('' for all), most rows.
-- Returns the rows.
local e, before, limit = E[1], number(ARGV[rest]), number(ARGV[rest + 1])
if not e[THERE] or limit == 0 then return {} end
-- Numbers have no gaps, and the last row's is `LN`: a row's place from the end follows from its number.
local newest = math.min((before or e[LN] + 1) - 1, e[LN])
local oldest = math.max(newest - limit + 1, e[LN] - log_max + 1, 1)
if newest < oldest then return {} end
local rows = call('LRANGE', e[LOG], newest - e[LN] - 1 - (newest - oldest), newest - e[LN] - 1)
local page = {}
for i = #rows, 1, -1 do page[#page + 1] = rows[i] end
return page
