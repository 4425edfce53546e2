-- Takes away what a deleted endpoint left: one bounded step.
--
-- KEYS  lib's, one endpoint with the lanes of all its layouts, also of drained ones.
-- ARGV  lib's; then most events to take away.
-- Returns done or more (call again).
local MOST = number(ARGV[rest])
local e, left = E[1], MOST

local function empty(list)
  while left > 0 do
    local entry = call('LPOP', list)
    if not entry then return end
    let_go(head(entry).ref)
    left = left - 1
  end
end
for _, l in ipairs(e.lanes) do
  call('ZREM', HEALTHY, l.text)
  call('ZREM', SUSPECT, l.text)
  empty(l.queue)
  call('DEL', l.key)
end
empty(e.kept)
e.dn, e.db = 0, 0
while left > 0 and call('EXISTS', e.droppedix) == 1 do
  forget_dropped(e)
  left = left - 1
end
if left == 0 then return 'more' end
call('UNLINK', e.log, e.stats, e.droppedat, e.fails)
call('HDEL', PURGING, e.ws.name .. '/' .. e.name)
return 'done'
