-- Records the ends of attempts and hands over what follows. Where all are delivered, which costs less, nothing of fail and
-- flow is there, and `fail` is nil.
--
-- KEYS  lib's.
-- ARGV  lib's; then per lane, packed: token, seq, round, attempt, generation, 1 if delivered, 1 to drop it, ms until the
--       next attempt, how many ms ago this one ended, duration bucket (from 0), 1 if the next event is wanted, version of
--       the configuration at hand; and the log's row.
-- Returns per lane {what, disabled, dropped, …}: what is next (then as claim's lease), idle, ready, waiting (then
--       at_ms), held, lost or gone.
local COMMIT, HOUR_MS, HOURS, LOG_SLACK = '>c16I8I4I4I8BBI8I8I4Bs', 3600000, 24, 16
local STATS = '>' .. string.rep('I4', 12)

-- The hour's figures: hour, delivered, failed, dropped, and the durations by bucket. Those of hours that are over stand
-- apart, by the hour of the day.
local function measure(e, delivered, dropped, bucket)
  local hour = math.floor(now / HOUR_MS)
  local figures = e.hs ~= '' and {struct.unpack(STATS, e.hs)} or {}
  if figures[1] ~= hour then
    if figures[1] then call('HSET', e.stats, figures[1] % HOURS, e.hs) end
    figures = {hour, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
  end
  local which = delivered and 2 or 3
  figures[which] = figures[which] + 1
  if dropped then figures[4] = figures[4] + 1 end
  figures[5 + bucket] = figures[5 + bucket] + 1
  e.hs, e.dirty = struct.pack(STATS, unpack(figures, 1, 12)), true
end

local function record(e, at_ms, next_ms, row)
  e.ln, e.dirty = e.ln + 1, true
  if log_max == 0 then
    -- Rows of a release that kept some would stand before those of one that keeps some again, and numbers have no gaps.
    call('DEL', e.log)
    return
  end
  call('RPUSH', e.log, string.format('%d %d %d ', e.ln, at_ms, next_ms) .. row)
  if e.ln % LOG_SLACK == 0 then call('LTRIM', e.log, -log_max, -1) end
end

-- Puts the current event among the payloads kept, whose oldest leave; false if it is not where it should be. An endpoint's
-- one lane keeps it where it is, and holds all that waits, so that their number tells; others are seen as they move.
local function deliver(l)
  local e = l.ep
  if e.on == 1 then
    if call('LLEN', l.queue) ~= l.pa + e.ev then return false end
    l.pa = l.pa + 1
  else
    local entry = call('LMOVE', l.queue, e.kept, 'LEFT', 'RIGHT')
    if not is_current(l, entry) then
      if entry then call('LMOVE', e.kept, l.queue, 'RIGHT', 'LEFT') end
      return false
    end
    e.kn = e.kn + 1
  end
  if l.ref ~= '-' then e.ks = e.ks + 1 end
  leave(e, l)
  l.sq, l.rd, l.at, l.tr = 0, 0, 0, 0
  shed(l)
  return true
end

-- Moves a lane between the pools.
local function move(l, suspect)
  if l.su == suspect then return false end
  call('ZREM', l.su == 1 and SUSPECT or HEALTHY, l.text)
  l.su = suspect
  return true
end

-- What the lane does next when its attempt is over.
local function proceed(l, moved, token, more)
  local held = blocked(l.ep)
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
  if l.what ~= 'next' then return {l.what, l.ld, l.lx, l.lms} end
  if l.tk ~= token then return {'lost', l.ld, l.lx} end
  if l.sq == l.lsq then
    -- It stands in its lane twice, which nothing we do leads to, and would be its own next one for ever.
    if not deliver(l) then return astray(l) end
    l.what = proceed(l, false, token, more)
    if l.what ~= 'next' then return {l.what, l.ld, l.lx, 0} end
    return {'next', l.ld, l.lx, leased(l, version)}
  end
  if blocked(l.ep) then
    put(l, 'held')
    return {'held', l.ld, l.lx}
  end
  if not lease(l, token) then return astray(l) end
  return {'next', l.ld, l.lx, leased(l, version)}
end

local function commit(l, packed, row)
  local token, seq, round, attempt, generation, delivered, gives_up, delay, ended_ago, bucket, more, version =
    struct.unpack(COMMIT, packed)
  local ended_ms = now - ended_ago
  delivered, more = delivered == 1, more == 1
  local e = l.ep
  if not endpoint(e) then return {'gone', 0, 0} end
  lane(l)
  local again = l.ltk == token and l.lsq == seq and l.lrd == round and l.lat == attempt
  if again then return repeated(l, token, more, version) end
  local current = l.tk == token and l.sq == seq and l.rd == round and l.at + 1 == attempt
  if not current then return {'lost', 0, 0} end

  local there = not delivered and is_current(l, call('LINDEX', l.queue, l.pa)) or delivered and deliver(l)
  if not there then return astray(l) end
  l.tk, l.le, l.dirty = '', 0, true
  local moved = move(l, delivered and 0 or 1)
  local what, disabled, dropped, at_ms = 'waiting', 0, 0, nil
  if not delivered then
    disabled, dropped, at_ms = fail(l, seq .. ' ' .. round .. ' ' .. attempt, ended_ms, gives_up == 0 and delay, generation == e.gen)
  end
  if at_ms then
    put(l, 'waiting', at_ms)
  else
    what, at_ms = proceed(l, moved, token, more), 0
  end
  l.ltk, l.lsq, l.lrd, l.lat, l.what, l.ld, l.lx, l.lms = token, seq, round, attempt, what, disabled, dropped, at_ms
  record(e, ended_ms, at_ms, row)
  measure(e, delivered, dropped == 1, bucket)
  if what == 'next' then return {what, disabled, dropped, leased(l, version)} end
  return {what, disabled, dropped, at_ms}
end

local commits = {}
for i = 1, #L do commits[i] = commit(L[i], ARGV[rest + 2 * i - 2], ARGV[rest + 2 * i - 1]) end
save()
return {commits, releasing()}
