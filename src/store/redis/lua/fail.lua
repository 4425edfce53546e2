-- What a failed attempt leads to. It is put after flow, before the script that commits any outcome.

-- Counts a failure in the window; whether it was one too many.
local function exceed(l, identity, ended_ms)
  local e = l[EP]
  local by_endpoint = quota_scope == 'endpoint'
  local window = by_endpoint and e[FAILS] or e[WS].fails
  call('ZADD', window, ended_ms, ep_name(e) .. ' ' .. lane_name(l) .. ' ' .. identity)
  call('ZREMRANGEBYSCORE', window, '-inf', now - window_ms)
  local failures = call('ZCARD', window)
  if failures > quota_limit then return true end
  if failures == math.floor(quota_limit / 2) + 1 then
    local holder = by_endpoint and e[KEY] or e[WS].key
    local warned = number(call('HGET', holder, 'warned') or -window_ms)
    if warned + window_ms <= now then
      call('HSET', holder, 'warned', now)
      local scope = by_endpoint and ep_name(e) or e[WS].name
      if not sheds(1) then tell('warning-' .. scope .. '-' .. now, 'endpoint.warning', e, '', 'quota', failures, now) end
    end
  end
  return false
end

-- Drops the current event after its last attempt.
local function give_up(l)
  local h = drop(l, true, 'retries', true)
  if call('ZCARD', OUTBOX) < outbox_max then
    tell('dropped-' .. ep_name(l[EP]) .. '-' .. h.seq, 'event.dropped', l[EP], h.id, 'retries', '', now)
  else
    tell_many(l[EP], 'retries', 1)
  end
end

-- Records a failed attempt. Answers 1 if it disabled the endpoint, 1 if it was the event's last one, and when the event is
-- tried again if the lane waits for that.
local function fail(l, identity, ended_ms, delay, counts)
  local disabled, dropped = 0, 0
  l[AT], l[TR] = l[AT] + 1, 1
  if counts and exceed(l, identity, ended_ms) then
    disable(l[EP], 'quota')
    disabled = 1
  end
  if not delay then
    give_up(l)
    dropped = 1
  elseif counts and disabled == 0 then
    return 0, 0, ended_ms + delay
  end
  return disabled, dropped, nil
end
