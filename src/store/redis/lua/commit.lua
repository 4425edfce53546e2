-- Records the ends of attempts and hands over what follows. Where all are delivered, which costs less, nothing of fail and
-- flow is there, and `fail` is nil.
--
-- KEYS  lib's.
-- ARGV  lib's; then per lane, packed: token, seq, round, attempt, generation, 1 if delivered, 1 to drop it, ms until the
--       next attempt, how many ms ago this one ended, duration bucket (from 0), 1 if the next event is wanted, version of
--       the configuration at hand; and the log's row.
-- Returns per lane {what, disabled, dropped, …}: what is next (then as claim's lease), idle, ready, waiting (then
--       at_ms), held, lost or gone.
local HOUR_MS, HOURS, FIGURES_BYTES, LOG_SLACK = 3600000, 24, 48, 16
local COMMIT = '>c16I8I4I4I8BBI8I8I4Bs'

-- Counts an attempt in the hour's figures. Those of hours that are over stand apart, by the hour of the day.
local function measure(e, delivered, dropped, bucket)
  local hour = math.floor(now / HOUR_MS)
  if e[HOUR] ~= hour then
    if e[HB] > 0 then call('HSET', e[STATS], e[HOUR] % HOURS, struct.pack(FIGURES, unpack(e, HOUR, SLOWEST))) end
    e[HB], e[HOUR] = FIGURES_BYTES, hour
    for place = HOUR + 1, SLOWEST do e[place] = 0 end
  end
  local outcome, duration = delivered and DELIVERED or FAILED, FASTEST + bucket
  e[outcome], e[duration], e[DIRTY] = e[outcome] + 1, e[duration] + 1, true
  if dropped then e[GIVEN_UP] = e[GIVEN_UP] + 1 end
end

local function record(e, at_ms, next_ms, row)
  e[LN], e[DIRTY] = e[LN] + 1, true
  if log_max == 0 then
    -- Rows of a release that kept some would stand before those of one that keeps some again, and numbers have no gaps.
    call('DEL', e[LOG])
    return
  end
  call('RPUSH', e[LOG], string.format('%d %d %d ', e[LN], at_ms, next_ms) .. row)
  if e[LN] % LOG_SLACK == 0 then call('LTRIM', e[LOG], -log_max, -1) end
end

-- Puts the current event among the payloads kept, whose oldest leave; false if it is not where it should be. An endpoint's
-- one lane keeps it where it is, and holds all that waits, so that their number tells; others are seen as they move.
local function deliver(l)
  local e = l[EP]
  if e[ON] == 1 then
    if call('LLEN', l[QUEUE]) ~= l[PA] + e[EV] then return false end
    l[PA] = l[PA] + 1
  else
    local entry = call('LMOVE', l[QUEUE], e[KEPT], 'LEFT', 'RIGHT')
    if not is_current(l, entry) then
      if entry then call('LMOVE', e[KEPT], l[QUEUE], 'RIGHT', 'LEFT') end
      return false
    end
    e[KN] = e[KN] + 1
  end
  if l[REF] ~= '-' then e[KS] = e[KS] + 1 end
  leave(e, l[LEN])
  l[SQ], l[RD], l[AT], l[TR] = 0, 0, 0, 0
  shed(l)
  return true
end

-- Moves a lane between the pools.
local function move(l, suspect)
  if l[SU] == suspect then return false end
  call('ZREM', l[SU] == 1 and SUSPECT or HEALTHY, lane_name(l))
  l[SU] = suspect
  return true
end

-- What the lane does next when its attempt is over.
local function proceed(l, moved, token, more)
  local held = blocked(l[EP])
  if more and not moved and not held then
    if lease(l, token, true) then return 'next' end
  elseif has_event(l) then
    put(l, held and 'held' or 'ready', not held and now or nil)
    return held and 'held' or 'ready'
  end
  put(l, 'idle')
  return 'idle'
end

-- Frees a lane whose current event is not there, which nothing we do leads to: what comes next may go on.
local function astray(l)
  recount(l)
  uncurrent(l)
  if has_event(l) then put(l, 'ready', now) else put(l, 'idle') end
  return {'lost', 0, 0}
end

-- The answer to the last commit once more; where that was the next event, its lease is asked for again.
local function repeated(l, token, more, version)
  if l[WHAT] ~= 'next' then return {l[WHAT], l[LD], l[LX], l[LMS]} end
  if l[TK] ~= token then return {'lost', l[LD], l[LX]} end
  if l[SQ] == l[LSQ] then
    -- It stands in its lane twice, which nothing we do leads to, and would be its own next one for ever.
    if not deliver(l) then return astray(l) end
    l[WHAT] = proceed(l, false, token, more)
    if l[WHAT] ~= 'next' then return {l[WHAT], l[LD], l[LX], 0} end
    return {'next', l[LD], l[LX], leased(l, version)}
  end
  if blocked(l[EP]) then
    put(l, 'held')
    return {'held', l[LD], l[LX]}
  end
  if not lease(l, token) then return astray(l) end
  return {'next', l[LD], l[LX], leased(l, version)}
end

local function commit(l, packed, row)
  local token, seq, round, attempt, generation, delivered, gives_up, delay, ended_ago, bucket, more, version =
    struct.unpack(COMMIT, packed)
  local ended_ms = now - ended_ago
  delivered, more = delivered == 1, more == 1
  local e = l[EP]
  if not e[THERE] then return {'gone', 0, 0} end
  local again = l[LTK] == token and l[LSQ] == seq and l[LRD] == round and l[LAT] == attempt
  if again then return repeated(l, token, more, version) end
  local current = l[TK] == token and l[SQ] == seq and l[RD] == round and l[AT] + 1 == attempt
  if not current then return {'lost', 0, 0} end

  local there = not delivered and is_current(l, call('LINDEX', l[QUEUE], l[PA])) or delivered and deliver(l)
  if not there then return astray(l) end
  l[TK], l[LE], l[DIRTY] = '', 0, true
  local moved = move(l, delivered and 0 or 1)
  local what, disabled, dropped, at_ms = 'waiting', 0, 0, nil
  if not delivered then
    disabled, dropped, at_ms = fail(l, seq .. ' ' .. round .. ' ' .. attempt, ended_ms, gives_up == 0 and delay, generation == e[GEN])
  end
  if at_ms then
    put(l, 'waiting', at_ms)
  else
    what, at_ms = proceed(l, moved, token, more), 0
  end
  l[LTK], l[LSQ], l[LRD], l[LAT], l[WHAT], l[LD], l[LX], l[LMS] = token, seq, round, attempt, what, disabled, dropped, at_ms
  record(e, ended_ms, at_ms, row)
  measure(e, delivered, dropped == 1, bucket)
  if what == 'next' then return {what, disabled, dropped, leased(l, version)} end
  return {what, disabled, dropped, at_ms}
end

local commits = {}
for i = 1, #L do commits[i] = commit(L[i], ARGV[rest + 2 * i - 2], ARGV[rest + 2 * i - 1]) end
save()
return {commits, releasing()}
