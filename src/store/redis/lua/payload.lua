-- Finds an event whose payload is still there: delivered and kept, dropped, a lane's current one, or one that waits behind
-- it. Nothing says where those that wait stand, so one call looks at a part of them, in the order of their numbers.
--
-- KEYS  lib's, with all lanes of the endpoint's layouts.
-- ARGV  lib's; then the event's id, the number that the part begins at (0 for the first).
-- Returns {found, entry, shared body}, {more, the number that the next part begins at} or {none}.
local e, id, from = E[1], ARGV[rest], number(ARGV[rest + 1])
-- A part has at most so many numbers, and about so many bytes.
local PART_EVENTS, PART_BYTES = 1000, 1048576

-- Looks where events are few.
local function settled()
  local kept = payloads(e)
  for i = #kept, 1, -1 do
    if head(kept[i]).id == id then return kept[i] end
  end
  local text = call('HGET', e[DROPPED], id)
  if text then return string.sub(text, string.find(text, '\n', 1, true) + 1) end
  for _, l in ipairs(e[LANES]) do
    local entry = l[SQ] ~= 0 and call('LINDEX', l[QUEUE], l[PA])
    if entry and head(entry).id == id then return entry end
  end
end

-- Finds a lane's first waiting event of a number or a higher one: where it stands, and its number. They rise.
local function first_of(l, seq)
  local function at(place)
    local entry = call('LINDEX', l[QUEUE], place)
    return entry and number(string.match(entry, '^%d+'))
  end
  local low, high = l[PA], call('LLEN', l[QUEUE])
  while low < high do
    local middle = math.floor((low + high) / 2)
    if at(middle) < seq then low = middle + 1 else high = middle end
  end
  return low, at(low)
end

-- The lowest number of those that wait, from a number on; nil without any.
local function lowest_of(seq)
  local lowest
  for _, l in ipairs(e[LANES]) do
    local _, found = first_of(l, seq)
    if found and (not lowest or found < lowest) then lowest = found end
  end
  return lowest
end

-- Looks at a part of those that wait; where it is not there, answers where the next part begins.
local function waiting_part()
  local start = e[EV] > 0 and lowest_of(from)
  if not start then return nil end
  local past = start + math.max(1, math.min(PART_EVENTS, math.floor(PART_BYTES * e[EV] / math.max(e[BY], 1))))
  local found, lowest
  for _, l in ipairs(e[LANES]) do
    local first, last = first_of(l, start), first_of(l, past) - 1
    local entries = first <= last and call('LRANGE', l[QUEUE], first, last) or {}
    for i = 1, #entries do
      local h = head(entries[i])
      if h.id == id and (not found or h.seq < lowest) then found, lowest = entries[i], h.seq end
    end
  end
  return found, lowest_of(past)
end

-- What leaves its lane between the calls is met at the end.
local function find()
  local entry, more = from == 0 and settled(), nil
  if not entry then entry, more = waiting_part() end
  return entry or not more and from > 0 and settled(), more
end

if not e[THERE] then return {'none'} end
local entry, more = find()
if entry then
  local ref = head(entry).ref
  return {'found', entry, ref ~= '-' and call('HGET', BODIES, ref) or ''}
end
return more and {'more', more} or {'none'}
