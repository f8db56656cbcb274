package stateful

import "github.com/redis/rueidis"

// beatScript notes that a member is alive, and returns the table's token, the state where it is not of the token that is
// known, and all members. KEYS: ring, members. ARGV: the member's ID and entry, both empty for one that leaves; the token.
var beatScript = rueidis.NewLuaScript(`
if ARGV[1] ~= '' then
  redis.call('hset', KEYS[2], ARGV[1], ARGV[2])
end
local ring = redis.call('hmget', KEYS[1], 'token', 'state')
local token, state = ring[1] or '', ring[2] or ''
if token == ARGV[3] then
  state = ''
end
return {token, state, redis.call('hgetall', KEYS[2])}`)

// proposeScript replaces the table unless somebody else has, and sets the fences of what changes hands: they are fields
// of the same key, so that none is without the other. KEYS: ring, members. ARGV: the token before and the one after, the
// state, how many members are gone, their IDs, then a partition and its fence each.
var proposeScript = rueidis.NewLuaScript(`
local before = redis.call('hget', KEYS[1], 'token') or ''
if before ~= ARGV[1] then
  return 0
end
redis.call('hset', KEYS[1], 'token', ARGV[2], 'state', ARGV[3])
local gone = tonumber(ARGV[4])
for i = 1, gone do
  redis.call('hdel', KEYS[2], ARGV[4 + i])
end
for i = 5 + gone, #ARGV, 2 do
  redis.call('hset', KEYS[1], ARGV[i], ARGV[i + 1])
end
return 1`)

// appendScript appends messages to a room and sends them to its followers, if the fence is that of the room's partition
// and the room is where its owner knows it to be. So a late owner appends nothing, and neither does a call that its
// owner has given up. Beside a message stands the fence it was appended under. KEYS: ring, meta, stream, then for each
// message where its result is remembered. ARGV: partition, fence, epoch, offset, size and seconds of the history,
// channel, seconds of the meta, then for each message for how many seconds its result is remembered, 0 for not at all,
// and its payload.
var appendScript = rueidis.NewLuaScript(`
if redis.call('hget', KEYS[1], ARGV[1]) ~= ARGV[2] then
  return {'moved'}
end
local meta = redis.call('hmget', KEYS[2], 'e', 's')
if meta[1] ~= ARGV[3] or (meta[2] or '0') ~= ARGV[4] then
  return {'changed'}
end
local epoch, out = ARGV[3], {'ok'}
for i = 4, #KEYS do
  local remembered, payload = ARGV[9 + 2 * (i - 4)], ARGV[10 + 2 * (i - 4)]
  local keyed = remembered ~= '0'
  local known = keyed and redis.call('hmget', KEYS[i], 'e', 's')
  if known and known[1] then
    out[#out + 1] = known[2]
    out[#out + 1] = known[1]
    out[#out + 1] = '1'
  else
    local offset = redis.call('hincrby', KEYS[2], 's', 1)
    if offset == 1 then
      redis.call('del', KEYS[3])
    end
    redis.call('xadd', KEYS[3], 'MAXLEN', ARGV[5], offset, 'd', payload, 'o', ARGV[2])
    redis.call('publish', ARGV[7], '__p1:' .. offset .. ':' .. epoch .. '__' .. payload)
    if keyed then
      redis.call('hset', KEYS[i], 'e', epoch, 's', offset)
      redis.call('expire', KEYS[i], remembered)
    end
    out[#out + 1] = tostring(offset)
    out[#out + 1] = epoch
    out[#out + 1] = '0'
  end
end
redis.call('expire', KEYS[3], ARGV[6])
redis.call('expire', KEYS[2], ARGV[8])
return out`)
