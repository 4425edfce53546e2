-- What the scripts share; it is put before each of them.
--
-- KEYS  the partition's own keys, then `ws eps fails` per workspace, `ep kept log stats dropped droppedix droppedat
--       fails` per endpoint and `lane queue cur` per lane (append: `ws`, `ep` and `lane queue` alone), then the script's others.
-- ARGV  now_ms ('' for the server's time), the policy in the order of the locals below, the numbers of workspaces,
--       endpoints and lanes, then `name` per workspace, `name workspace-index` per endpoint and
--       `text endpoint-index layout` per lane; then the script's own arguments, which begin at `rest`.
-- An entry is `seq at_ms len resent contact type id body traceparent\nbody`; of `body`, see entry.rs.
local call, number = redis.call, tonumber
local PART, HEALTHY, SUSPECT, HELD, BODIES, REFS, OUTBOX, NOTICES, RELEASING, PURGING, WORKSPACES = unpack(KEYS, 1, 11)
local now = number(ARGV[1])
if not now then
  local time = call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local lease_ms, window_ms, quota_limit, quota_scope = number(ARGV[2]), number(ARGV[3]), number(ARGV[4]), ARGV[5]
local events_max, bytes_max, age_ms_max = number(ARGV[6]), number(ARGV[7]), number(ARGV[8])
local dropped_max, retention_ms = number(ARGV[9]), number(ARGV[10])
local log_max, log_age_ms, kept_max = number(ARGV[11]), number(ARGV[12]), number(ARGV[13])
local bucket_ms, outbox_max, plans, plan_default = number(ARGV[14]), number(ARGV[15]), ARGV[16], ARGV[17]

-- The things the caller named, with their keys; `rest` is the first argument of the script's own.
local W, E, L, rest = {}, {}, {}, 21
local key = 12
local function things(n, into, fields, width)
  for i = 1, n do
    local thing = {}
    for f = 1, width do
      thing[fields[f]] = KEYS[key]
      key = key + 1
    end
    into[i] = thing
  end
end
local lean = LEAN
things(number(ARGV[18]), W, {'key', 'eps', 'fails'}, lean and 1 or 3)
things(number(ARGV[19]), E, {'key', 'kept', 'log', 'stats', 'dropped', 'droppedix', 'droppedat', 'fails'},
  lean and 1 or 8)
things(number(ARGV[20]), L, {'key', 'queue', 'cur'}, lean and 2 or 3)
for i = 1, #W do
  W[i].name, rest = ARGV[rest], rest + 1
end
for i = 1, #E do
  local e = E[i]
  e.index, e.name, e.ws, e.lanes, rest = i, ARGV[rest], W[number(ARGV[rest + 1])], {}, rest + 2
end
for i = 1, #L do
  local l = L[i]
  local e = E[number(ARGV[rest + 1])]
  l.index, l.text, l.ep, l.layout, rest = i, ARGV[rest], e, number(ARGV[rest + 2]), rest + 3
  e.lanes[#e.lanes + 1] = l
end

-- Changes of the partition's counters, written once at the end by save().
local waiting = 0

-- Reads a workspace's plan, once.
local function entitled(w)
  if w.entitled == nil then
    local plan = call('HGET', w.key, 'plan') or plan_default
    w.entitled = string.find(plans, '\0' .. plan .. '\0', 1, true) ~= nil
  end
  return w.entitled
end

-- Reads an endpoint, once; false when it does not exist.
local function endpoint(e)
  if e.there == nil then
    local v = call('HMGET', e.key, 'st', 'gen', 'seq', 'ev', 'by', 'dn', 'db', 'cv', 'ln', 'lay')
    e.there = v[1] ~= false
    e.st, e.gen, e.seq, e.ev, e.by = v[1], number(v[2]), number(v[3]), number(v[4]), number(v[5])
    e.dn, e.db, e.cv, e.ln, e.lay = number(v[6]), number(v[7]), v[8], number(v[9]), v[10]
  end
  return e.there
end

-- The endpoint's layouts that are not drained, oldest first; the last one is the newest.
local function layouts(e)
  if not e.layouts then
    e.layouts = {}
    for n, lanes, busy, used in string.gmatch(e.lay, '(%d+):(%d+):(%d+):(%d)') do
      e.layouts[#e.layouts + 1] = {n = number(n), lanes = number(lanes), busy = number(busy), used = used}
    end
  end
  return e.layouts
end

-- What the layouts are, however busy: it says which lanes there are.
local function shape(e)
  local texts = {}
  for i, layout in ipairs(layouts(e)) do texts[i] = layout.n .. ':' .. layout.lanes .. ':' .. layout.used end
  return table.concat(texts, ',')
end

-- Writes the layouts back, without those that are drained and older than the newest.
local function relay(e)
  local list, texts, old = layouts(e), {}, nil
  while #list > 1 and list[1].busy == 0 do
    local drained = table.remove(list, 1)
    old = (old or call('HGET', e.key, 'old') or '') .. drained.n .. ':' .. drained.lanes .. ':' .. now .. ','
    call('SADD', RELEASING, e.ws.name .. '/' .. e.name)
    e.releasing = true
  end
  if old then call('HSET', e.key, 'old', old) end
  for i = 1, #list do
    texts[i] = list[i].n .. ':' .. list[i].lanes .. ':' .. list[i].busy .. ':' .. list[i].used
  end
  e.lay = table.concat(texts, ',')
end

-- Counts a lane of a layout that has become busy (1) or idle (-1).
local function busy(l, change)
  local list = layouts(l.ep)
  for i = 1, #list do
    if list[i].n == l.layout then
      list[i].busy = list[i].busy + change
      if change > 0 then list[i].used = '1' end
    end
  end
  relay(l.ep)
end

-- Reads a lane, once. `sq` is its current event's number (0 for none), `rd` and `at` its round and the attempts recorded
-- in it, `tr` whether any attempt of it was recorded; `un` is the lane's place in due (0 for none); `tk` and `le` are
-- the lease's token and end, which stay until the lease is over or taken over; `lc` and `la` its last commit's name and
-- answer.
local function lane(l)
  if not l.st then
    local v = call('HMGET', l.key, 'st', 'tk', 'le', 'un', 'sq', 'rd', 'at', 'tr', 'gn', 'su', 'lc', 'la')
    l.st, l.tk, l.le, l.un = v[1] or 'idle', v[2] or '', number(v[3] or 0), number(v[4] or 0)
    l.sq, l.rd, l.at, l.tr = number(v[5] or 0), number(v[6] or 0), number(v[7] or 0), v[8] or '0'
    l.gn, l.su, l.lc, l.la = number(v[9] or 0), v[10] or '0', v[11] or '', v[12] or ''
  end
  return l
end

-- Puts a lane into a state: `until_ms` is its place in due; without one it is out of it.
local function put(l, state, until_ms)
  if state == 'idle' and l.st ~= 'idle' then busy(l, -1) end
  if state ~= 'idle' and l.st == 'idle' then busy(l, 1) end
  if until_ms then
    call('ZADD', l.su == '1' and SUSPECT or HEALTHY, until_ms, l.text)
  elseif l.st ~= 'idle' and l.st ~= 'held' then
    call('ZREM', l.su == '1' and SUSPECT or HEALTHY, l.text)
  end
  if state == 'held' and l.st ~= 'held' then call('ZADD', HELD, now, l.text) end
  if state ~= 'held' and l.st == 'held' then call('ZREM', HELD, l.text) end
  l.st, l.un, l.dirty = state, until_ms or 0, true
end

-- Puts an event at the end of a lane: `tail` is its entry from `len` on. Lanes of layouts other than the oldest are
-- held until it is drained.
local function join(l, len, tail)
  local e = l.ep
  e.seq, e.ev, e.by, e.dirty, waiting = e.seq + 1, e.ev + 1, e.by + len, true, waiting + 1
  call('RPUSH', l.queue, e.seq .. ' ' .. now .. ' ' .. tail)
  if lane(l).st == 'idle' then
    if layouts(e)[1].n == l.layout then
      put(l, 'ready', now)
      l.fresh = true
    else
      put(l, 'held')
    end
  end
end

-- Writes back what was changed.
local function save()
  for i = 1, #L do
    local l = L[i]
    if l.dirty then
      call('HSET', l.key, 'st', l.st, 'tk', l.tk, 'le', l.le, 'un', l.un, 'sq', l.sq, 'rd', l.rd, 'at', l.at,
        'tr', l.tr, 'gn', l.gn, 'su', l.su, 'lc', l.lc, 'la', l.la)
    end
  end
  for i = 1, #E do
    local e = E[i]
    if e.dirty or e.layouts then
      call('HSET', e.key, 'st', e.st, 'gen', e.gen, 'seq', e.seq, 'ev', e.ev, 'by', e.by, 'dn', e.dn, 'db', e.db,
        'ln', e.ln, 'lay', e.lay)
    end
  end
  if waiting ~= 0 then call('HINCRBY', PART, 'waiting', waiting) end
end

-- Lanes that became ready, as indexes.
local function fresh()
  local found = {}
  for i = 1, #L do
    if L[i].fresh then found[#found + 1] = i end
  end
  return found
end

-- Endpoints that have lanes to release now, as indexes.
local function releasing()
  local found = {}
  for i = 1, #E do
    if E[i].releasing then found[#found + 1] = i end
  end
  return found
end
