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
for _, l in ipairs(e[LANES]) do
  call('ZREM', HEALTHY, lane_name(l))
  call('ZREM', SUSPECT, lane_name(l))
  empty(l[QUEUE])
  call('DEL', l[KEY])
end
empty(e[KEPT])
e[DN], e[DB] = 0, 0
while left > 0 and call('EXISTS', e[DROPPEDIX]) == 1 do
  forget_dropped(e)
  left = left - 1
end
if left == 0 then return 'more' end
call('UNLINK', e[LOG], e[STATS], e[DROPPEDAT], e[FAILS])
call('HDEL', PURGING, ep_path(e))
return 'done'
