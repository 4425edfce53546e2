-- Reads endpoints.
--
-- KEYS  lib's, with all lanes of the endpoints' layouts.
-- ARGV  lib's; then per endpoint the layouts that its lanes were named by.
-- Returns per endpoint {} (none), {'again'} (its layouts are others now) or {'there', configuration, state, generation,
--       events, why and since when it is disabled, newest row of its log, at_ms of its oldest event (0 without one)}.
local function oldest_ms(e)
  local oldest = 0
  for _, l in ipairs(e[LANES]) do
    local entry = call('LINDEX', l[QUEUE], l[PA])
    local at_ms = entry and number(string.match(entry, '^%d+ (%d+)'))
    if at_ms and (oldest == 0 or at_ms < oldest) then oldest = at_ms end
  end
  return oldest
end

local function look(e, layouts_read)
  if not e[THERE] then return {} end
  if shape(e) ~= layouts_read then return {'again'} end
  local why = call('HMGET', e[KEY], 'wy', 'ms')
  local row = call('LINDEX', e[LOG], -1) or ''
  local config = call('HGET', e[WS].eps, ep_name(e))
  return {'there', config, e[STATE], e[GEN], e[EV], why[1] or '', why[2] or 0, row, e[EV] > 0 and oldest_ms(e) or 0}
end

local seen = {}
for i = 1, #E do seen[i] = look(E[i], ARGV[rest + i - 1]) end
return seen
