-- Events at the beginning of a lane: leases, and what is delivered. It is put after lib, before the scripts that claim and
-- commit, and before flow.

-- Lets go of a shared body: the last one to do so takes it away.
local function let_go(ref)
  if ref ~= '-' and call('HINCRBY', REFS, ref, -1) <= 0 then
    call('HDEL', REFS, ref)
    call('HDEL', BODIES, ref)
  end
end

-- Counts an event out of the waiting ones.
local function leave(e, h)
  e.ev, e.by, e.dirty, waiting = e.ev - 1, e.by - h.len, true, waiting - 1
end

-- Whether an entry is the lane's current event.
local function is_current(l, entry) return entry and number(string.match(entry, '^%d+')) == l.sq end

-- Counts an endpoint's one lane anew after something was taken from its queue that is not ours to take: what is numbered
-- below the current event is delivered.
local function recount(l)
  if l.ep.on ~= 1 then return end
  local past = l.sq > 0 and l.pa > 0 and call('LRANGE', l.queue, 0, l.pa - 1) or {}
  local delivered = l.sq > 0 and 0 or math.min(l.pa, call('LLEN', l.queue))
  for i = 1, #past do
    if number(string.match(past[i], '^%d+')) < l.sq then delivered = delivered + 1 end
  end
  local left = call('LLEN', l.queue) - delivered
  waiting = waiting + left - l.ep.ev
  l.pa, l.ep.ev, l.dirty, l.ep.dirty = delivered, left, true, true
end

-- Lets go of a lane's current event, wherever that is.
local function uncurrent(l)
  l.sq, l.rd, l.at, l.tr, l.tk, l.le, l.dirty = 0, 0, 0, 0, '', 0, true
end

-- Takes the oldest entries of a list away, and lets go of their bodies if any of an endpoint's payloads kept is shared.
local function cut(e, list, count)
  if count <= 0 then return end
  local entries = e.ks > 0 and call('LRANGE', list, 0, count - 1) or {}
  for i = 1, #entries do
    local ref = string.match(entries[i], '^%d+ %d+ %d+ (%S+)')
    if ref ~= '-' then e.ks = e.ks - 1 end
    let_go(ref)
  end
  call('LTRIM', list, count, -1)
end

-- Takes payloads kept past their number away, some at a time; readers see no more than the number.
local KEPT_SLACK = math.min(16, kept_max)
local function shed(l)
  local e = l.ep
  local over = e.kn + l.pa - kept_max
  if over <= KEPT_SLACK and kept_max > 0 then return end
  local listed = math.min(over, e.kn)
  cut(e, e.kept, listed)
  cut(e, l.queue, over - listed)
  e.kn, l.pa = e.kn - listed, l.pa - (over - listed)
end

-- Takes a lease on a lane, whose first event becomes its current one if that is another; false without any. Where it is
-- `handed_over` with the next event, the one that runs goes on while it is young.
local BEGINNING = '^(%d+) %d+ (%d+) (%S+)'
local lease_end = now + lease_ms
local lease_end_text = string.format('%.0f', lease_end)
local function lease(l, token, handed_over)
  local e, entry = l.ep, call('LINDEX', l.queue, l.pa)
  if not entry then return false end
  local seq, len, ref = string.match(entry, BEGINNING)
  if number(seq) ~= l.sq then
    if l.sq ~= 0 then
      recount(l)
      entry = call('LINDEX', l.queue, l.pa)
      if not entry then return false end
      seq, len, ref = string.match(entry, BEGINNING)
    end
    l.sq, l.len, l.ref, l.rd, l.at, l.tr = number(seq), number(len), ref, 1, 0, 0
  elseif l.gn ~= e.gen then
    l.rd, l.at = l.rd + 1, 0
  end
  l.entry, l.gn, l.tk, l.dirty = entry, e.gen, token, true
  if handed_over and l.un >= lease_end - renewal_ms then
    l.le = l.un
  else
    l.le = lease_end
    put(l, 'leased', lease_end, lease_end_text)
  end
  return true
end

-- A lease as the caller reads it; `version` is the configuration he has at hand.
local function leased(l, version)
  local e = l.ep
  local body = l.ref ~= '-' and call('HGET', BODIES, l.ref) or ''
  local config = version ~= e.cv and call('HGET', e.ws.eps, e.name) or ''
  return l.rd, l.at + 1, l.gn, l.su, l.entry, body, config
end

-- Whether a lane has an event.
local function has_event(l) return call('LLEN', l.queue) > l.pa end
