-- Looks whether ids that were appended are known here: a primary may have been replaced by one that lacks them.
--
-- KEYS  the sets of ids seen.
-- ARGV  the ids' digests.
-- Returns how many of them are in none of the sets.
local STEP = 1000
local missing = 0
for first = 1, #ARGV, STEP do
  local last, known = math.min(first + STEP - 1, #ARGV), {}
  for set = 1, #KEYS do
    local found = redis.call('SMISMEMBER', KEYS[set], unpack(ARGV, first, last))
    for i = 1, #found do known[i] = known[i] or found[i] == 1 end
  end
  for i = 1, last - first + 1 do
    if not known[i] then missing = missing + 1 end
  end
end
return missing
