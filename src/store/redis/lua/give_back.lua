-- Puts a lane back whose attempt was never begun.
--
-- KEYS  lib's, one lane.
-- ARGV  lib's; then the token.
-- Returns 1 if the lane was leased under it, else 0.
local token, l = ARGV[rest], L[1]
if not l[EP][THERE] or l[TK] ~= token then return 0 end
l[TK], l[LE] = '', 0
put(l, 'ready', now)
save()
return 1
