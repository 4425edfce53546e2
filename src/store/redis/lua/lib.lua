-- What the scripts share; it is put before each of them.
--
-- KEYS  the partition's own keys, then `ws eps fails` per workspace, `ep kept log stats dropped droppedix droppedat
--       fails` per endpoint, all lanes' `lane`, all lanes' `queue`, then the script's others, from `key` on. Of a
--       partition's, a workspace's and an endpoint's there are as many as the script's scope has (keys.rs).
-- ARGV  now_ms ('' for the server's time), the policy, packed as POLICY, the entitled plans; what is named, packed: the
--       numbers of workspaces, endpoints and lanes, then `workspace-index` per endpoint and `endpoint-index layout` per
--       lane. From `rest` on, the script's own. (Why packed: see packed.rs.)
-- An entry is `seq at_ms len body resent contact type id traceparent\nbody`; see entry.rs.
local call, number = redis.call, tonumber
local PART, HEALTHY, SUSPECT, BODIES, REFS, RELEASING, OUTBOX, NOTICES, PURGING, WORKSPACES, DISABLED =
  unpack(KEYS, 1, PARTITION_KEYS)
local BASE = #PART - #'part' -- What a partition's keys begin with.
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

-- A lane is a table of these places, and so is an endpoint: one made of a list, as `struct.unpack` gives it, costs half of
-- what one costs that is made of names. From ST on stands what is stored of a lane, packed. `SU` is 1 in the suspect pool,
-- `UN` its place in due (0 for none); `TK` and `LE` are the lease's token and end, which stay until the lease is over or
-- taken over. The queue begins with `PA` events that are delivered: payloads kept, which stay where they are while this is
-- the endpoint's one lane. The first after them is the current event, if there is one: `SQ` is its number (0 for none),
-- `RD` and `AT` its round and the attempts recorded in it, `TR` is 1 if any attempt of it was recorded, `LEN` and `REF` as
-- in its entry; `GN` is the endpoint's generation at the claim. Of the last commit, `LTK LSQ LRD LAT` are the name and `WHAT
-- LD LX LMS` the answer.
local KEY, DIRTY, INDEX, EP, LAYOUT, QUEUE, FRESH, ENTRY = 1, 2, 3, 4, 5, 6, 7, 8
local ST, SU, TK, LE, UN, SQ, RD, AT, TR, GN, LEN, REF = 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20
local LTK, LSQ, LRD, LAT, WHAT, LD, LX, LMS, PA = 21, 22, 23, 24, 25, 26, 27, 28, 29
local LANE = '>sBsI8I8I8I4I4BI4I8ssI8I4I4sBBI8I4'

-- An endpoint's. From STATE on stands what is stored of it, packed: e (enabled) or d; `GEN` is its generation, `SEQ` the
-- last event's number; `EV` and `BY` count waiting events and their bytes, `DN` and `DB` dropped ones; `LN` is the last
-- number of its log, `KN` counts payloads in the list of those kept; `CV` is its configuration's version, `ON` 1 if it has
-- one lane in all, `KS` counts all payloads kept that share a body. `HB` is 0, or the length of the present hour's figures,
-- which then follow: the HOUR, how many attempts were DELIVERED, FAILED and the last one of their event (GIVEN_UP), and how
-- many took how long, by bucket from FASTEST to SLOWEST.
local WS, LANES, KEPT, LOG, STATS, DROPPED, DROPPEDIX, DROPPEDAT, FAILS = 3, 4, 5, 6, 7, 8, 9, 10, 11
local THERE, LAYOUTS, RELEASES, TOUCHED = 12, 13, 14, 15
local STATE, GEN, SEQ, EV, BY, DN, DB, LN, KN, CV, ON, KS, HB = 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28
local HOUR, DELIVERED, FAILED, GIVEN_UP, FASTEST, SLOWEST = 29, 30, 31, 32, 33, 40
local ENDPOINT, FIGURES = '>sI4I8I8I8I8I8I8I4sBI4B', '>I4I4I4I4I4I4I4I4I4I4I4I4'
local ENDPOINT_WITH_FIGURES = ENDPOINT .. string.sub(FIGURES, 2)

-- The things the caller named; `rest` is the first argument of the script's own. (The places of keys that the script's
-- scope, in keys.rs, leaves out hold others; it uses none of them. A workspace's two that are read later have their room from
-- the beginning, since a table that grows is built anew.) What is not stored reads as zeros, and a lane as an idle one.
-- PLAIN_BYTES is the most that an endpoint without figures takes (one with them takes 113 at least), AT_ONCE how many keys one
-- command reads or writes.
local PLAIN_BYTES, AT_ONCE = 85, 1000
local NOTHING = string.rep('\0', 128)
local W, E, L, rest, key = {}, {}, {}, 5, PARTITION_KEYS + 1
for i = 1, workspaces do
  W[i] = {
    name = string.sub(KEYS[key], BASE + #'ws:' + 1), entitled = nil, version = nil, key = KEYS[key], eps = KEYS[key + 1],
    fails = KEYS[key + 2],
  }
  key = key + WORKSPACE_KEYS
end
for i = 1, endpoints do
  local w
  w, at = struct.unpack('>I4', named, at)
  local stored = call('HGET', KEYS[key], 'n')
  local whole = stored or ''
  if #whole <= PLAIN_BYTES then whole = whole .. NOTHING end
  E[i] = {
    KEYS[key], false, W[w], {}, KEYS[key + 1], KEYS[key + 2], KEYS[key + 3], KEYS[key + 4], KEYS[key + 5], KEYS[key + 6],
    KEYS[key + 7], stored ~= false, false, false, false,
    struct.unpack(ENDPOINT_WITH_FIGURES, whole),
  }
  key = key + ENDPOINT_KEYS
end
for first = 1, lanes, AT_ONCE do
  local last = math.min(first + AT_ONCE - 1, lanes)
  local stored = call('MGET', unpack(KEYS, key + first - 1, key + last - 1))
  for i = first, last do
    local e, layout
    e, layout, at = struct.unpack('>I4I4', named, at)
    e = E[e]
    local l = {
      KEYS[key + i - 1], false, i, e, layout, KEYS[key + lanes + i - 1], false, false,
      struct.unpack(LANE, stored[i - first + 1] or 'idle' .. NOTHING),
    }
    L[i], e[LANES][#e[LANES] + 1] = l, l
  end
end
key = key + 2 * lanes

-- What the keys say their things are called.
local function ep_path(e) return string.sub(e[KEY], BASE + #'ep:' + 1) end
local function ep_name(e) return string.sub(e[KEY], BASE + #'ep:' + #e[WS].name + #'/' + 1) end
local function lane_name(l) return string.sub(l[KEY], BASE + #'lane:' + 1) end

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

-- Whether nothing may be sent to an endpoint now.
local function blocked(e) return e[STATE] ~= 'e' or not entitled(e[WS]) end

-- The endpoint's layouts that are not drained, oldest first; the last one is the newest.
local function layouts(e)
  if not e[LAYOUTS] then
    e[LAYOUTS] = {}
    for n, lanes, busy, used in string.gmatch(call('HGET', e[KEY], 'lay'), '(%d+):(%d+):(%d+):(%d)') do
      e[LAYOUTS][#e[LAYOUTS] + 1] = {n = number(n), lanes = number(lanes), busy = number(busy), used = used}
    end
  end
  return e[LAYOUTS]
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
    old = (old or call('HGET', e[KEY], 'old') or '') .. drained.n .. ':' .. drained.lanes .. ':' .. now .. ','
    call('SADD', RELEASING, ep_path(e))
    e[RELEASES] = true
  end
  if old then call('HSET', e[KEY], 'old', old) end
  for i = 1, #list do
    texts[i] = list[i].n .. ':' .. list[i].lanes .. ':' .. list[i].busy .. ':' .. list[i].used
  end
  call('HSET', e[KEY], 'lay', table.concat(texts, ','))
  e[ON], e[DIRTY] = #list == 1 and list[1].lanes == 1 and 1 or 0, true
end

-- Counts a lane of a layout that has become busy (1) or idle (-1).
local function busy(l, change)
  local list = layouts(l[EP])
  for i = 1, #list do
    if list[i].n == l[LAYOUT] then
      list[i].busy = list[i].busy + change
      if change > 0 then list[i].used = '1' end
    end
  end
  relay(l[EP])
end

-- Puts a lane into a state: `until_ms` is its place in due; without one it is out of it. (A number costs more than most
-- commands when it is made a text, so whoever has the text passes it.)
local function put(l, state, until_ms, until_text)
  if state == 'idle' and l[ST] ~= 'idle' then busy(l, -1) end
  if state ~= 'idle' and l[ST] == 'idle' then busy(l, 1) end
  if until_ms then
    call('ZADD', l[SU] == 1 and SUSPECT or HEALTHY, until_text or until_ms, lane_name(l))
  elseif l[ST] ~= 'idle' and l[ST] ~= 'held' then
    call('ZREM', l[SU] == 1 and SUSPECT or HEALTHY, lane_name(l))
  end
  l[ST], l[UN], l[DIRTY] = state, until_ms or 0, true
end

-- Puts an event at the end of a lane: `tail` is its entry from `len` on. Lanes of layouts other than the oldest are held
-- until it is drained. Only an idle lane changes by it: it becomes ready, unless `grant`, if there is one, leases it, told
-- of the queue's length, the event's, its `ref` and which one it is.
local function join(l, len, tail, grant, ref, item)
  local e = l[EP]
  e[SEQ], e[EV], e[BY], e[DIRTY], waiting = e[SEQ] + 1, e[EV] + 1, e[BY] + len, true, waiting + 1
  local length = call('RPUSH', l[QUEUE], string.format('%d %s ', e[SEQ], now_text) .. tail)
  if l[ST] == 'idle' then
    if layouts(e)[1].n ~= l[LAYOUT] then
      put(l, 'held')
    elseif not (grant and grant(l, length, len, ref, item)) then
      put(l, 'ready', now, now_text)
      l[FRESH] = true
    end
  end
end

-- Writes back what was changed.
local function save()
  local changed = {}
  for i = 1, #L do
    local l = L[i]
    if l[DIRTY] then
      changed[#changed + 1] = l[KEY]
      changed[#changed + 1] = struct.pack(LANE, unpack(l, ST, PA))
    end
  end
  for first = 1, #changed, AT_ONCE do call('MSET', unpack(changed, first, math.min(first + AT_ONCE - 1, #changed))) end
  for i = 1, #E do
    local e = E[i]
    if e[DIRTY] then
      local packing = e[HB] == 0 and ENDPOINT or ENDPOINT_WITH_FIGURES
      call('HSET', e[KEY], 'n', struct.pack(packing, unpack(e, STATE, SLOWEST)))
    end
  end
  if waiting ~= 0 then call('HINCRBY', PART, 'waiting', waiting) end
end

-- Lanes that became ready, as indexes.
local function fresh()
  local found = {}
  for i = 1, #L do
    if L[i][FRESH] then found[#found + 1] = i end
  end
  return found
end

-- Endpoints that have lanes to release now, as indexes.
local function releasing()
  local found = {}
  for i = 1, #E do
    if E[i][RELEASES] then found[#found + 1] = i end
  end
  return found
end
