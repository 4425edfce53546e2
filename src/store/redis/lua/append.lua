-- Appends a group of one partition's events to their lanes.
--
-- KEYS  lib's, then the 6 sets of ids seen.
-- ARGV  lib's; then the token, and packed: the number of places that idle lanes may be leased into, the number of events,
--       and `workspace-index routing-version length lanes lane-index…` per event; then each event's digest; then of each
--       what is to be stored: for no lane nothing, for one the entry from `len` on, for several `resent contact type id
--       traceparent` and the body.
-- Returns {taken, ready, over, stale, granted, now_ms}: a letter per event done (s stored, d duplicate, u unmatched);
--       indexes of lanes that became ready; indexes of endpoints past a limit; `{workspace index, routing}` when it
--       stopped early; per lane leased `{index, the event's from 0, seq, generation, the configuration's version}`.
local SEEN_SETS, SEEN_BUCKETS = 6, 4
local TOKEN, packed = ARGV[rest], ARGV[rest + 1]
local places_left, count, at = struct.unpack('>I4I4', packed)
local digests, argument = rest + 1, rest + 2 + count

-- The ids seen: one set per quarter of the window, used as a ring. Where the quarter is another than it was (a release
-- with another window), buckets have other numbers: the ring is turned, so that the last one is the present one.
local bucket = math.floor(now / bucket_ms)
local part = call('HMGET', PART, 'bucket', 'body', 'bucket_ms', 'turn')
local last, body_id, turn = number(part[1] or bucket), number(part[2] or 0), number(part[4] or 0)
local function seen_set(index) return KEYS[key + (index + turn) % SEEN_SETS] end
if number(part[3]) ~= bucket_ms then
  turn = (turn + last - bucket) % SEEN_SETS
  call('HSET', PART, 'bucket', bucket, 'bucket_ms', bucket_ms, 'turn', turn)
elseif bucket > last then
  for index = math.max(last + 1, bucket - SEEN_SETS + 1), bucket do call('UNLINK', seen_set(index)) end
  call('HSET', PART, 'bucket', bucket)
end
local seen = {}
for index = bucket - SEEN_BUCKETS, bucket do
  local found = call('SMISMEMBER', seen_set(index), unpack(ARGV, digests + 1, digests + count))
  for i = 1, #found do
    if found[i] == 1 then seen[ARGV[digests + i]] = true end
  end
end

local lease_end = now + lease_ms
local lease_end_text, granted = string.format('%.0f', lease_end), {}

-- Leases a lane that was idle, as claim would next, for its first attempt; false where that is for claim to judge (it is
-- suspect, may not send, or has events that stand astray).
local function grant(l, length, len, ref, item)
  local e = l[EP]
  if places_left == 0 or l[SU] == 1 or length ~= l[PA] + 1 or blocked(e) then return false end
  l[SQ], l[LEN], l[REF], l[RD], l[AT], l[TR], l[GN], l[TK], l[LE] = e[SEQ], len, ref, 1, 0, 0, e[GEN], TOKEN, lease_end
  put(l, 'leased', lease_end, lease_end_text)
  places_left = places_left - 1
  granted[#granted + 1] = {l[INDEX], item, e[SEQ], e[GEN], e[CV]}
  return true
end

-- An event's entry from `len` on, and its `ref`: a body is shared where more than one of the event's lanes is there.
local function entry(len, places, lanes)
  if lanes == 1 then return ARGV[argument], '-' end
  local head, body = ARGV[argument], ARGV[argument + 1]
  if places == 1 then return string.format('%d - ', len) .. head .. '\n' .. body, '-' end
  body_id = body_id + 1
  call('HSET', BODIES, body_id, body)
  call('HSET', REFS, body_id, places)
  call('HSET', PART, 'body', body_id)
  return string.format('%d %d ', len, body_id) .. head .. '\n', body_id
end

-- What a write could stumble over is read before the first one: a script that ends in the middle keeps what it has
-- written, and the batch, appended again, would stand in its lanes twice under the same numbers.
for i = 1, #L do
  local l = L[i]
  if l[EP][THERE] then call('LLEN', l[QUEUE]) end
end

local taken, stale = {}, {}
for i = 1, count do
  local workspace, version, len, lanes, index
  workspace, version, len, lanes, at = struct.unpack('>I4I8I4I4', packed, at)
  local w, places = W[workspace], {}
  w.version = w.version or number(call('HGET', w.key, 'rv') or 1)
  if w.version ~= version then
    stale = {workspace, call('HGET', w.key, 'rt') or ''}
    break
  end
  for _ = 1, lanes do
    index, at = struct.unpack('>I4', packed, at)
    local l = L[index]
    l[EP][TOUCHED] = true
    if l[EP][THERE] then places[#places + 1] = l end
  end
  local digest = ARGV[digests + i]
  if seen[digest] then
    taken[i] = 'd'
  else
    if #places > 0 then
      local tail, ref = entry(len, #places, lanes)
      for n = 1, #places do join(places[n], len, tail, grant, ref, i - 1) end
    end
    seen[digest] = true
    taken[i] = lanes == 0 and 'u' or 's'
  end
  argument = argument + (lanes > 1 and 2 or lanes)
end
save()
-- A duplicate is remembered anew: a batch may be repeated for longer than the window until it is durable.
if #taken > 0 then call('SADD', seen_set(bucket), unpack(ARGV, digests + 1, digests + #taken)) end

local over = {}
for i = 1, #E do
  local e = E[i]
  if e[TOUCHED] and e[THERE] and (e[EV] > events_max or e[BY] + e[DB] > bytes_max) then over[#over + 1] = i end
end
return {table.concat(taken), fresh(), over, stale, granted, now_text}
