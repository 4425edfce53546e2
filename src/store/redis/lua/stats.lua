-- Reads an endpoint's figures of the last hours.
--
-- KEYS  lib's, one endpoint.
-- ARGV  lib's.
-- Returns {now_ms, the hours as commit packs them}.
return {now, call('HVALS', E[1].stats)}
