-- Puts events once more at the end of their lanes.
--
-- KEYS  lib's, with all lanes of the endpoint's layouts.
-- ARGV  lib's; then the layouts that the lanes were named by, dropped or kept, the events' ids.
-- Returns {what, '1' or '0' per event, lanes that became ready}; what is done or again (the layouts are others now).
local LAYOUTS_READ, FROM = ARGV[rest], ARGV[rest + 1]
local e = E[1]
if not e[THERE] then return {'done', '', {}} end
if shape(e) ~= LAYOUTS_READ then return {'again', '', {}} end

local newest = layouts(e)[#layouts(e)]
local places = {}
for _, l in ipairs(e[LANES]) do
  if l[LAYOUT] == newest.n then places[#places + 1] = l end
end
-- A contact's lane: its 64-bit hash, in two halves that a Lua number holds exactly, modulo the number of lanes.
local function lane_of(contact)
  if contact == '-' then return places[1] end
  local high, low, n = number(string.sub(contact, 1, 8), 16), number(string.sub(contact, 9), 16), #places
  return places[((high % n) * (4294967296 % n) + low) % n + 1]
end

-- Whether an event still waits, by its number; they rise within a lane.
local function waits(seq)
  for _, l in ipairs(e[LANES]) do
    local low, high = 0, call('LLEN', l[QUEUE]) - 1
    while low <= high do
      local middle = math.floor((low + high) / 2)
      local found = number(string.match(call('LINDEX', l[QUEUE], middle), '^%d+'))
      if found == seq then return true end
      if found < seq then low = middle + 1 else high = middle - 1 end
    end
  end
  return false
end

-- Puts an entry's event at the end of its lane.
local function again(entry)
  local ref, line, body = string.match(entry, '^%d+ %d+ %d+ (%S+) %d ([^\n]*)\n(.*)$')
  local h = head(entry)
  local l = lane_of(h.contact)
  join(l, h.len, string.format('%d ', h.len) .. ref .. ' 1 ' .. line .. '\n' .. body)
end

-- The payloads kept, by id: where they stand, and their entries. All are put into the list of those kept before.
local places_kept, entries_kept = {}, {}
if FROM == 'kept' then
  for _, l in ipairs(e[LANES]) do shelve(l) end
  local kept = payloads(e)
  for i = 1, #kept do
    local id = head(kept[i]).id
    places_kept[id], entries_kept[id] = i - 1 - #kept, kept[i]
  end
end

-- Copies a kept event. What is kept takes its copy's number, by which it is known whether that still waits.
local function copy(id)
  local entry = entries_kept[id]
  if not entry then return false end
  local h = head(entry)
  if waits(h.seq) then return true end
  if h.ref ~= '-' then call('HINCRBY', REFS, h.ref, 1) end
  again(entry)
  entries_kept[id] = string.gsub(entry, '^%d+', e[SEQ], 1)
  call('LSET', e[KEPT], places_kept[id], entries_kept[id])
  return true
end

-- Moves a dropped event.
local function move(id)
  local entry = undrop(e, id)
  if entry then again(entry) end
  return entry
end

local done = {}
for i = rest + 2, #ARGV do
  local found = FROM == 'kept' and copy(ARGV[i]) or FROM == 'dropped' and move(ARGV[i])
  done[#done + 1] = found and '1' or '0'
end
save()
return {'done', table.concat(done), fresh()}
