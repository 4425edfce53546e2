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
local function leave(e, len)
  e[EV], e[BY], e[DIRTY], waiting = e[EV] - 1, e[BY] - len, true, waiting - 1
end

-- Whether an entry is the lane's current event.
local function is_current(l, entry) return entry and number(string.match(entry, '^%d+')) == l[SQ] end

-- Counts an endpoint's one lane anew after something was taken from its queue that is not ours to take: what is numbered
-- below the current event is delivered.
local function recount(l)
  if l[EP][ON] ~= 1 then return end
  local past = l[SQ] > 0 and l[PA] > 0 and call('LRANGE', l[QUEUE], 0, l[PA] - 1) or {}
  local delivered = l[SQ] > 0 and 0 or math.min(l[PA], call('LLEN', l[QUEUE]))
  for i = 1, #past do
    if number(string.match(past[i], '^%d+')) < l[SQ] then delivered = delivered + 1 end
  end
  local left = call('LLEN', l[QUEUE]) - delivered
  waiting = waiting + left - l[EP][EV]
  l[PA], l[EP][EV], l[DIRTY], l[EP][DIRTY] = delivered, left, true, true
end

-- Lets go of a lane's current event, wherever that is.
local function uncurrent(l)
  l[SQ], l[RD], l[AT], l[TR], l[TK], l[LE], l[DIRTY] = 0, 0, 0, 0, '', 0, true
end

-- Takes the oldest entries of a list away, and lets go of their bodies if any of an endpoint's payloads kept is shared.
local function cut(e, list, count)
  if count <= 0 then return end
  local entries = e[KS] > 0 and call('LRANGE', list, 0, count - 1) or {}
  for i = 1, #entries do
    local ref = string.match(entries[i], '^%d+ %d+ %d+ (%S+)')
    if ref ~= '-' then e[KS] = e[KS] - 1 end
    let_go(ref)
  end
  call('LTRIM', list, count, -1)
end

-- Takes payloads kept past their number away, some at a time; readers see no more than the number.
local KEPT_SLACK = math.min(16, kept_max)
local function shed(l)
  local e = l[EP]
  local over = e[KN] + l[PA] - kept_max
  if over <= KEPT_SLACK and kept_max > 0 then return end
  local listed = math.min(over, e[KN])
  cut(e, e[KEPT], listed)
  cut(e, l[QUEUE], over - listed)
  e[KN], l[PA] = e[KN] - listed, l[PA] - (over - listed)
end

-- Takes a lease on a lane, whose first event becomes its current one if that is another; false without any. Where it is
-- `handed_over` with the next event, the one that runs goes on while it is young.
local BEGINNING = '^(%d+) %d+ (%d+) (%S+)'
local lease_end = now + lease_ms
local lease_end_text = string.format('%.0f', lease_end)
local function lease(l, token, handed_over)
  local e, entry = l[EP], call('LINDEX', l[QUEUE], l[PA])
  if not entry then return false end
  local seq, len, ref = string.match(entry, BEGINNING)
  if number(seq) ~= l[SQ] then
    if l[SQ] ~= 0 then
      recount(l)
      entry = call('LINDEX', l[QUEUE], l[PA])
      if not entry then return false end
      seq, len, ref = string.match(entry, BEGINNING)
    end
    l[SQ], l[LEN], l[REF], l[RD], l[AT], l[TR] = number(seq), number(len), ref, 1, 0, 0
  elseif l[GN] ~= e[GEN] then
    l[RD], l[AT] = l[RD] + 1, 0
  end
  l[ENTRY], l[GN], l[TK], l[DIRTY] = entry, e[GEN], token, true
  if handed_over and l[UN] >= lease_end - renewal_ms then
    l[LE] = l[UN]
  else
    l[LE] = lease_end
    put(l, 'leased', lease_end, lease_end_text)
  end
  return true
end

-- A lease as the caller reads it; `version` is the configuration he has at hand. Lanes that end together often go on to the
-- same event.
local bodies = {['-'] = ''}
local function leased(l, version)
  local e, ref = l[EP], l[REF]
  bodies[ref] = bodies[ref] or call('HGET', BODIES, ref) or ''
  local config = version ~= e[CV] and call('HGET', e[WS].eps, ep_name(e)) or ''
  return l[RD], l[AT] + 1, l[GN], l[SU], l[ENTRY], bodies[ref], config
end

-- Whether a lane has an event.
local function has_event(l) return call('LLEN', l[QUEUE]) > l[PA] end
