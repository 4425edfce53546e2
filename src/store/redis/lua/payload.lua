-- Finds an event whose payload is still there: delivered and kept, dropped, or a lane's current one.
--
-- KEYS  lib's, with all lanes of the endpoint's layouts.
-- ARGV  lib's; then the event's id.
-- Returns {} or {entry, shared body}.
local e, id = E[1], ARGV[rest]
local function find()
  local kept = payloads(e)
  for i = #kept, 1, -1 do
    if head(kept[i]).id == id then return kept[i] end
  end
  local text = call('HGET', e.dropped, id)
  if text then return string.sub(text, string.find(text, '\n', 1, true) + 1) end
  for _, l in ipairs(e.lanes) do
    local entry = lane(l).sq ~= 0 and call('LINDEX', l.queue, l.pa)
    if entry and head(entry).id == id then return entry end
  end
end
local entry = endpoint(e) and find()
if not entry then return {} end
local ref = head(entry).ref
return {entry, ref ~= '-' and call('HGET', BODIES, ref) or ''}
