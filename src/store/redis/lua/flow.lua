-- What happens to events beside their delivery: drops, notices. It is put before the scripts that move events, after lease.

-- Splits an entry's header.
local function head(entry)
  local seq, at_ms, len, ref, contact, id = string.match(entry, '^(%d+) (%d+) (%d+) (%S+) %d (%S+) %S+ (%S+)')
  return {seq = number(seq), at_ms = number(at_ms), len = number(len), ref = ref, contact = contact, id = id}
end

-- Records a notice, once per channel; how often each was tried stands beside it.
local function tell(id, kind, e, event, reason, count, due_ms)
  call('HSET', NOTICES, id, table.concat({kind, now_text, e[WS].name, ep_name(e), event, reason, count}, '\n'))
  call('HDEL', NOTICES, id .. ' amqp', id .. ' mail')
  call('ZADD', OUTBOX, due_ms, id .. ' amqp')
  if kind == 'endpoint.disabled' or kind == 'endpoint.warning' then call('ZADD', OUTBOX, due_ms, id .. ' mail') end
end

-- Whether the outbox is so full that what is worth a count alone is counted and not told. Disablings and enablings are
-- told always.
local function sheds(count)
  if call('ZCARD', OUTBOX) < 2 * outbox_max then return false end
  call('HINCRBY', PART, 'shed', count)
  return true
end

-- Records drops in their minute's notice, which is due when the minute is over.
local function tell_many(e, reason, count)
  local minute = math.floor(now / 60000)
  local id = 'dropped-' .. ep_name(e) .. '-' .. reason .. '-' .. minute
  local before = call('HGET', NOTICES, id)
  if before then
    local start, told = string.match(before, '^(.*\n)(%d+)$')
    call('HSET', NOTICES, id, start .. (told + count))
  elseif not sheds(count) then
    tell(id, 'event.dropped', e, '', reason, count, (minute + 1) * 60000)
  end
end

-- Takes one event out of the dropped list.
local function undrop(e, id)
  local text = call('HGET', e[DROPPED], id)
  if not text then return nil end
  local entry = string.sub(text, string.find(text, '\n', 1, true) + 1)
  local h = head(entry)
  call('HDEL', e[DROPPED], id)
  call('ZREM', e[DROPPEDIX], id)
  call('ZREM', e[DROPPEDAT], id)
  e[DN], e[DB], e[DIRTY] = e[DN] - 1, e[DB] - h.len, true
  return entry, h
end

-- Takes the oldest event out of the dropped list for good; its id.
local function forget_dropped(e)
  local oldest = call('ZRANGE', e[DROPPEDIX], 0, 0)[1]
  local _, h = undrop(e, oldest)
  let_go(h.ref)
end

-- Puts an event that has left its lane into the dropped list.
local function into_dropped(e, entry, h, reason)
  local _, same = undrop(e, h.id)
  if same then let_go(same.ref) end
  call('HSET', e[DROPPED], h.id, now .. ' ' .. reason .. '\n' .. entry)
  call('ZADD', e[DROPPEDIX], h.seq, h.id)
  call('ZADD', e[DROPPEDAT], now, h.id)
  e[DN], e[DB], e[DIRTY] = e[DN] + 1, e[DB] + h.len, true
  while e[DN] > dropped_max do forget_dropped(e) end
end

-- Moves what is delivered from the beginning of a lane into the list of payloads kept, whose entries are all older.
local function shelve(l)
  if l[PA] == 0 then return end
  call('RPUSH', l[EP][KEPT], unpack(call('LRANGE', l[QUEUE], 0, l[PA] - 1)))
  call('LTRIM', l[QUEUE], l[PA], -1)
  l[EP][KN], l[EP][DIRTY], l[PA], l[DIRTY] = l[EP][KN] + l[PA], true, 0, true
end

-- The payloads kept, oldest first.
local function payloads(e)
  local kept = call('LRANGE', e[KEPT], 0, -1)
  for _, l in ipairs(e[LANES]) do
    local past = l[PA] > 0 and call('LRANGE', l[QUEUE], 0, l[PA] - 1) or {}
    for i = 1, #past do kept[#kept + 1] = past[i] end
  end
  local shown, first = {}, math.max(1, #kept - kept_max + 1)
  for i = first, #kept do shown[#shown + 1] = kept[i] end
  return shown
end

-- Drops a lane's current event, or the first that waits behind it.
local function drop(l, current, reason, keep)
  shelve(l)
  local e, entry = l[EP], call('LPOP', l[QUEUE])
  if not current and l[SQ] ~= 0 then
    local tried = entry
    entry = call('LPOP', l[QUEUE])
    call('LPUSH', l[QUEUE], tried)
  end
  local h = head(entry)
  leave(e, h.len)
  if current then uncurrent(l) end
  if keep then into_dropped(e, entry, h, reason) else let_go(h.ref) end
  return h
end

-- The number and time of the first event of a lane that may be dropped: its current one too if `may`.
local function first(l, may)
  local current = l[SQ] ~= 0 and may(l)
  local entry = call('LINDEX', l[QUEUE], l[PA] + ((current or l[SQ] == 0) and 0 or 1))
  if not entry then return nil end
  local seq, at_ms = string.match(entry, '^(%d+) (%d+)')
  return {seq = number(seq), at_ms = number(at_ms), current = current}
end

-- Goes through an endpoint's waiting events, oldest first, and drops those that `want` says, at most `most`; what was
-- emptied becomes idle. Current events are met where `may` says. Answers how many it dropped.
local function drop_oldest(e, may, want, most, reason, keep)
  if most <= 0 then return 0 end
  local firsts, dropped = {}, 0
  for _, l in ipairs(e[LANES]) do firsts[l] = first(l, may) end
  while dropped < most do
    local oldest
    for _, l in ipairs(e[LANES]) do
      if firsts[l] and (not oldest or firsts[l].seq < firsts[oldest].seq) and want(firsts[l]) then oldest = l end
    end
    if not oldest then break end
    drop(oldest, firsts[oldest].current, reason, keep)
    dropped = dropped + 1
    firsts[oldest] = first(oldest, may)
    if not firsts[oldest] and oldest[SQ] == 0 then put(oldest, 'idle') end
  end
  return dropped
end

-- Whether an endpoint's backlog goes first when memory is short: nothing is sent to it, or nothing arrives.
local function is_burden(e)
  if e[STATE] ~= 'e' or e[EV] == 0 then return e[STATE] ~= 'e' end
  local oldest, suspect = layouts(e)[1].n, false
  for _, l in ipairs(e[LANES]) do
    if l[LAYOUT] == oldest and l[ST] ~= 'idle' then
      if l[SU] == 0 then return false end
      suspect = true
    end
  end
  return suspect
end

-- Takes an endpoint's failures out of its window.
local function forgive(e)
  local window = quota_scope == 'endpoint' and e[FAILS] or e[WS].fails
  local failures = call('ZRANGE', window, 0, -1)
  for i = 1, #failures do
    if string.match(failures[i], '^%S+') == ep_name(e) then call('ZREM', window, failures[i]) end
  end
end

-- Counts endpoints of a workspace by state, for the gauges: `plan` '' stands for one never set.
local function count(w, state, change)
  call('HINCRBY', w.key, 'n' .. state, change)
  call('HINCRBY', PART, 'n' .. state .. ':' .. (call('HGET', w.key, 'plan') or ''), change)
end

-- Stops an endpoint; exactly one notice per disabling.
local function disable(e, reason)
  forgive(e)
  count(e[WS], e[STATE], -1)
  e[STATE], e[GEN], e[DIRTY] = 'd', e[GEN] + 1, true
  count(e[WS], e[STATE], 1)
  call('HSET', e[KEY], 'wy', reason, 'ms', now)
  call('ZADD', DISABLED, now_text, ep_path(e))
  tell('disabled-' .. ep_name(e) .. '-' .. e[GEN], 'endpoint.disabled', e, '', reason, '', now)
end

-- Deletes an endpoint: it is gone at once, and what it leaves is purged in steps. Answers how many events waited.
local function remove(e)
  local w, old = e[WS], call('HGET', e[KEY], 'old') or ''
  forgive(e)
  count(w, e[STATE], -1)
  waiting = waiting - e[EV]
  call('HSET', PURGING, ep_path(e), old .. call('HGET', e[KEY], 'lay'))
  call('SREM', RELEASING, ep_path(e))
  call('ZREM', DISABLED, ep_path(e))
  call('HDEL', w.eps, ep_name(e))
  call('DEL', e[KEY])
  e[THERE], e[DIRTY], e[LAYOUTS] = false, false, false
  return e[EV]
end
