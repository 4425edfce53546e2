-- Reads an endpoint's figures of the last hours.
--
-- KEYS  lib's, one endpoint.
-- ARGV  lib's.
-- Returns {now_ms, the hours, packed as lib's FIGURES}.
local e = E[1]
local hours = call('HVALS', e[STATS])
if e[HB] > 0 then hours[#hours + 1] = struct.pack(FIGURES, unpack(e, HOUR, SLOWEST)) end
return {now, hours}
