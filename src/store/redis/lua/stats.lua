-- Reads an endpoint's figures of the last hours.
--
-- KEYS  lib's, one endpoint.
-- ARGV  lib's.
-- Returns {now_ms, the hours as commit packs them}.
local e = E[1]
local hours = call('HVALS', e.stats)
if endpoint(e) and e.hs ~= '' then hours[#hours + 1] = e.hs end
return {now, hours}
