-- Looks after endpoints: limits of age and retention, lanes that are held and need not be (the release that runs now may
-- entitle other plans than the one before), and lanes of layouts that are long drained. One bounded step.
--
-- KEYS  lib's, with all lanes of the endpoints' layouts, also of drained ones.
-- ARGV  lib's; then most things to take away; then per endpoint the layouts that its lanes were named by.
-- Returns {per endpoint {dropped, at_ms of its oldest event (0 without one), 1 if it may send else 0, bytes that it holds
--       if it is a burden},
--       lanes that became ready, endpoints to release, things that might still have been taken away (0: call again),
--       now_ms}. An endpoint whose layouts are others now is left alone.
local left = number(ARGV[rest])

local function expire_dropped(e)
  local old = call('ZRANGEBYSCORE', e[DROPPEDAT], '-inf', now - retention_ms, 'LIMIT', 0, left)
  for i = 1, #old do
    local _, h = undrop(e, old[i])
    let_go(h.ref)
  end
  left = left - #old
end

-- Rows leave in the order of their numbers: one that is not old yet keeps those after it.
local function expire_log(e)
  local most = math.min(left, call('LLEN', e[LOG]))
  local gone = math.max(0, math.min(most, call('LLEN', e[LOG]) - log_max))
  while gone < most do
    local row = call('LINDEX', e[LOG], gone)
    if number(string.match(row, '^%d+ (%d+)')) + log_age_ms > now then break end
    gone = gone + 1
  end
  if gone > 0 then call('LTRIM', e[LOG], gone, -1) end
  left = left - gone
end

-- Makes ready what is held though it may send, and what nothing would ever come to: a lane that is idle with an event, or
-- has a place in due and is not there. No script leaves one so, but a server may that applied a part of one (see
-- docs/operating.md), or people who repair.
local function release(e)
  if blocked(e) then return end
  local oldest = layouts(e)[1].n
  for _, l in ipairs(e[LANES]) do
    if l[LAYOUT] == oldest then
      if l[ST] == 'held' or l[ST] == 'idle' and has_event(l) then
        put(l, 'ready', now)
        l[FRESH] = true
      elseif l[UN] > 0 then
        call('ZADD', l[SU] == 1 and SUSPECT or HEALTHY, 'NX', l[UN], lane_name(l))
      end
    end
  end
end

-- Nobody will repeat the last commit of a lane whose layout was drained a lease ago.
local function forget_drained(e)
  local old, kept = call('HGET', e[KEY], 'old'), {}
  for n, lanes, at_ms in string.gmatch(old or '', '(%d+):(%d+):(%d+),') do
    if number(at_ms) + lease_ms > now then
      kept[#kept + 1] = n .. ':' .. lanes .. ':' .. at_ms .. ','
    else
      for _, l in ipairs(e[LANES]) do
        if l[LAYOUT] == number(n) then call('DEL', l[KEY]) end
      end
    end
  end
  if old then call('HSET', e[KEY], 'old', table.concat(kept)) end
end

local function oldest_ms(e)
  local oldest = 0
  for _, l in ipairs(e[LANES]) do
    local event = first(l, function() return true end)
    if event and (oldest == 0 or event.at_ms < oldest) then oldest = event.at_ms end
  end
  return oldest
end

local function tend(e, layouts_read)
  if not e[THERE] or shape(e) ~= layouts_read then return {0, 0, 0, 0} end
  local function untried(l) return l[LE] <= now and l[TR] == 0 end
  local function old(event) return event.at_ms + age_ms_max <= now end
  local dropped = 0
  if e[EV] > 0 then
    dropped = drop_oldest(e, untried, old, left, 'backlog_age', true)
    left = left - dropped
    release(e)
  end
  if dropped > 0 then tell_many(e, 'backlog_age', dropped) end
  if e[DN] > 0 then expire_dropped(e) end
  if e[LN] > 0 then expire_log(e) end
  forget_drained(e)
  return {dropped, e[EV] > 0 and oldest_ms(e) or 0, blocked(e) and 0 or 1, is_burden(e) and e[BY] + e[DB] or 0}
end

local tended = {}
for i = 1, #E do tended[i] = tend(E[i], ARGV[rest + i]) end
save()
return {tended, fresh(), releasing(), left, now}
