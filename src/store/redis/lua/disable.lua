-- Disables an endpoint by hand; a disabled one stays as it is.
--
-- KEYS  lib's, one endpoint.
-- ARGV  lib's.
-- Returns 1, or 0 when there is no such endpoint.
local e = E[1]
if not e[THERE] then return 0 end
if e[STATE] == 'e' then
  disable(e, 'manual')
  save()
end
return 1
