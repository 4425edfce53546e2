-- Takes leases on lanes.
--
-- KEYS  lib's.
-- ARGV  lib's; then per lane: token, version of the configuration at hand (0 for none).
-- Returns per lane {'leased', round, attempt, generation, suspect, entry, shared body, configuration}, {'held'} or
--       {'taken'}; the texts are empty where there is none.
local function claim(l, token, version)
  local e = l[EP]
  if not e[THERE] then
    call('ZREM', HEALTHY, lane_name(l))
    call('ZREM', SUSPECT, lane_name(l))
    return {'taken'}
  end
  local due = l[UN] ~= 0 and l[UN] <= now
  if not due and l[TK] ~= token then return {'taken'} end
  if blocked(e) then
    put(l, 'held')
    return {'held'}
  end
  if not lease(l, token) then
    recount(l)
    uncurrent(l)
    put(l, 'idle')
    return {'taken'}
  end
  return {'leased', leased(l, version)}
end

local claims = {}
for i = 1, #L do claims[i] = claim(L[i], ARGV[rest + 2 * i - 2], ARGV[rest + 2 * i - 1]) end
save()
return claims
