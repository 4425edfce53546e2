-- What the scripts share; it is put before each of them.
--
-- KEYS  the partition's own keys, then `ws eps fails` per workspace, `ep kept log stats dropped droppedix droppedat
--       fails` per endpoint and `lane queue` per lane, then the script's others, from `key` on. Of a partition's, a
--       workspace's and an endpoint's there are as many as the script's scope has (keys.rs).
-- ARGV  now_ms ('' for the server's time), the policy, packed as POLICY, the entitled plans; what is named, packed: the
--       numbers of workspaces, endpoints and lanes, then `workspace-index` per endpoint and `endpoint-index layout` per
--       lane; then their names: a workspace's, an endpoint's, a lane's text each. From `rest` on, the script's own.
--       (Why packed: see packed.rs.)
-- An entry is `seq at_ms len body resent contact type id traceparent\nbody`; see entry.rs.
local call, number = redis.call, tonumber
local PART, HEALTHY, SUSPECT, BODIES, REFS, RELEASING, OUTBOX, NOTICES, PURGING, WORKSPACES, DISABLED =
  unpack(KEYS, 1, PARTITION_KEYS)
local now = number(ARGV[1])
if not now then
  local time = call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local now_text = string.format('%.0f', now)
local POLICY = '>I8I8I8I8I8I8I8I8I8I8I8I8I8I8ss'
local lease_ms, renewal_ms, window_ms, quota_limit, events_max, bytes_max, age_ms_max, dropped_max, retention_ms, log_max,
  log_age_ms, kept_max, bucket_ms, outbox_max, quota_scope, plan_default = struct.unpack(POLICY, ARGV[2])
local plans, named = ARGV[3], ARGV[4]
local workspaces, endpoints, lanes, at = struct.unpack('>I4I4I4', named)

-- The things the caller named; `rest` is the first argument of the script's own. Each table has all its fields from the
-- beginning, since one that grows is rebuilt again and again. (The fields of keys that the script's scope, in
-- keys.rs, leaves out hold others; it uses none of them.)
local W, E, L, rest, key = {}, {}, {}, 5, PARTITION_KEYS + 1
for i = 1, workspaces do
  W[i] = {name = ARGV[rest], entitled = nil, version = nil, key = KEYS[key], eps = KEYS[key + 1], fails = KEYS[key + 2]}
  rest, key = rest + 1, key + WORKSPACE_KEYS
end
for i = 1, endpoints do
  local w
  w, at = struct.unpack('>I4', named, at)
  E[i] = {
    index = i, name = ARGV[rest], ws = W[w], lanes = {}, key = KEYS[key], kept = KEYS[key + 1],
    log = KEYS[key + 2], stats = KEYS[key + 3], dropped = KEYS[key + 4], droppedix = KEYS[key + 5],
    droppedat = KEYS[key + 6], fails = KEYS[key + 7], there = nil, dirty = false, layouts = nil, releasing = false,
    st = '', gen = 0, seq = 0, ev = 0, by = 0, dn = 0, db = 0, cv = '', ln = 0, kn = 0, on = 0, ks = 0, hs = '',
    lay = nil, touched = false,
  }
  rest, key = rest + 1, key + ENDPOINT_KEYS
end
for i = 1, lanes do
  local e, layout
  e, layout, at = struct.unpack('>I4I4', named, at)
  e = E[e]
  local l = {
    index = i, text = ARGV[rest], ep = e, layout = layout, key = KEYS[key], queue = KEYS[key + 1],
    dirty = false, fresh = false, busy = nil, entry = nil, st = nil, su = 0, tk = '', le = 0, un = 0, sq = 0,
    rd = 0, at = 0, tr = 0, gn = 0, len = 0, ref = '', ltk = '', lsq = 0, lrd = 0, lat = 0, what = '', ld = 0, lx = 0,
    lms = 0, pa = 0,
  }
  L[i], e.lanes[#e.lanes + 1] = l, l
  rest, key = rest + 1, key + 2
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

-- Reads an endpoint, once; false when it does not exist. `st` is e (enabled) or d, `gen` its generation, `seq` the last
-- event's number; `ev` and `by` count waiting events and their bytes, `dn` and `db` dropped ones, `kn` payloads in the
-- list of those kept and `ks` all kept ones that share a body; `cv` is its configuration's version, `ln` the last number
-- of its log, `on` 1 if it has one lane in all, `hs` the present hour's statistics.
local ENDPOINT = '>sI4I8I8I8I8I8I8I4sBI4Bc0'
local function endpoint(e)
  if e.there == nil then
    local packed = call('HGET', e.key, 'n')
    e.there = packed ~= false
    if packed then
      e.st, e.gen, e.seq, e.ev, e.by, e.dn, e.db, e.ln, e.kn, e.cv, e.on, e.ks, e.hs = struct.unpack(ENDPOINT, packed)
    end
  end
  return e.there
end

-- Whether nothing may be sent to an endpoint now.
local function blocked(e) return e.st ~= 'e' or not entitled(e.ws) end

-- The endpoint's layouts that are not drained, oldest first; the last one is the newest.
local function layouts(e)
  if not e.layouts then
    e.layouts = {}
    e.lay = call('HGET', e.key, 'lay')
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
  call('HSET', e.key, 'lay', table.concat(texts, ','))
  e.on, e.dirty = #list == 1 and list[1].lanes == 1 and 1 or 0, true
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

-- Reads a lane, once. `su` is 1 in the suspect pool, `un` its place in due (0 for none); `tk` and `le` are the lease's
-- token and end, which stay until the lease is over or taken over. The queue begins with `pa` events that are delivered:
-- payloads kept, which stay where they are while this is the endpoint's one lane. The first after them is the current
-- event, if there is one: `sq` is its number (0 for none), `rd` and `at` its round and the attempts recorded in it, `tr` is 1 if any
-- attempt of it was recorded, `len` and `ref` as in its entry; `gn` is the endpoint's generation at the claim. Of the
-- last commit, `ltk lsq lrd lat` are the name and `what ld lx lms` the answer.
local LANE = '>sBsI8I8I8I4I4BI4I8ssI8I4I4sBBI8I4'
local function lane(l)
  if not l.st then
    local packed = call('GET', l.key)
    if packed then
      l.st, l.su, l.tk, l.le, l.un, l.sq, l.rd, l.at, l.tr, l.gn, l.len, l.ref, l.ltk, l.lsq, l.lrd, l.lat, l.what,
        l.ld, l.lx, l.lms, l.pa = struct.unpack(LANE, packed)
    else
      l.st = 'idle'
    end
  end
  return l
end

-- Puts a lane into a state: `until_ms` is its place in due; without one it is out of it. (A number costs more than most
-- commands when it is made a text, so whoever has the text passes it.)
local function put(l, state, until_ms, until_text)
  if state == 'idle' and l.st ~= 'idle' then busy(l, -1) end
  if state ~= 'idle' and l.st == 'idle' then busy(l, 1) end
  if until_ms then
    call('ZADD', l.su == 1 and SUSPECT or HEALTHY, until_text or until_ms, l.text)
  elseif l.st ~= 'idle' and l.st ~= 'held' then
    call('ZREM', l.su == 1 and SUSPECT or HEALTHY, l.text)
  end
  l.st, l.un, l.dirty = state, until_ms or 0, true
end

-- Sees whether a lane is not idle, by the beginning of what is stored of it.
local function see(l)
  local state = call('GETRANGE', l.key, 0, 4)
  l.busy = state ~= '' and state ~= 'idle\0'
end

-- Puts an event at the end of a lane: `tail` is its entry from `len` on. Lanes of layouts other than the oldest are held
-- until it is drained. Only an idle lane changes by it, and only that is read whole; it was seen before. It becomes ready,
-- unless `grant`, if there is one, leases it: told of the queue's length, the event's, its `ref` and which one it is.
local function join(l, len, tail, grant, ref, item)
  local e = l.ep
  e.seq, e.ev, e.by, e.dirty, waiting = e.seq + 1, e.ev + 1, e.by + len, true, waiting + 1
  local length = call('RPUSH', l.queue, string.format('%d %s ', e.seq, now_text) .. tail)
  if not l.busy then
    l.busy = true
    if layouts(e)[1].n ~= l.layout then
      put(lane(l), 'held')
    elseif not (grant and grant(lane(l), length, len, ref, item)) then
      put(lane(l), 'ready', now, now_text)
      l.fresh = true
    end
  end
end

-- Writes back what was changed.
local function save()
  for i = 1, #L do
    local l = L[i]
    if l.dirty then
      call('SET', l.key, struct.pack(LANE, l.st, l.su, l.tk, l.le, l.un, l.sq, l.rd, l.at, l.tr, l.gn, l.len, l.ref,
        l.ltk, l.lsq, l.lrd, l.lat, l.what, l.ld, l.lx, l.lms, l.pa))
    end
  end
  for i = 1, #E do
    local e = E[i]
    if e.dirty then
      call('HSET', e.key, 'n', struct.pack(ENDPOINT, e.st, e.gen, e.seq, e.ev, e.by, e.dn, e.db, e.ln, e.kn, e.cv,
        e.on, e.ks, #e.hs, e.hs))
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
