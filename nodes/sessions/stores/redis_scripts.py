"""The Lua scripts of the Redis store. Each works on the one key it is given, so Redis Cluster can route it."""

FORMAT = 1
"""The format of the records that these scripts write and change. Others they leave alone."""

# KEYS: the session. ARGV: idle ms, absolute ms, owner, created ms or nothing for now, then name, value, ...
# Returns created in ms as text (a number of Lua would lose digits), or nil where the key is taken.
CREATE = """
if redis.call('EXISTS', KEYS[1]) == 1 then return nil end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local idle, absolute = tonumber(ARGV[1]), tonumber(ARGV[2])
local created = ARGV[4] ~= '' and ARGV[4] or string.format('%.0f', now)
local deadline = created + absolute
local final = deadline <= now + idle
redis.call('HSET', KEYS[1], '@', '1:' .. created .. ':' .. (final and 'f' or '') .. ':' .. ARGV[3])
for i = 5, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', math.min(now + idle, deadline)))
return created
"""

# KEYS: the session. ARGV: idle ms, absolute ms, most bytes (0: unbounded), number of expectations, number of arguments
# to set; then name, 1 or 0 (0: missing), bytes for each expectation; then name, value to set; then names to delete.
UPDATE = """
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'none' then return 'absent' end
if kind ~= 'hash' then return 'damaged' end
local meta = redis.call('HGET', KEYS[1], '@') or ''
local version = tonumber(string.match(meta, '^(%d+):'))
if version and version > 1 then return 'newer' end
local created, final, owner = string.match(meta, '^1:(%d+):(f?):(.*)$')
if not created then return 'damaged' end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local idle, deadline = now + tonumber(ARGV[1]), created + tonumber(ARGV[2])
if deadline <= now then
  redis.call('DEL', KEYS[1])
  return 'absent'
end

local expected, set = tonumber(ARGV[4]), tonumber(ARGV[5])
local at = 6
for _ = 1, expected do
  local value = redis.call('HGET', KEYS[1], ARGV[at])
  if ARGV[at + 1] == '0' then
    if value then return 'conflict' end
  elseif value ~= ARGV[at + 2] then
    return 'conflict'
  end
  at = at + 3
end

local most = tonumber(ARGV[3])
if most > 0 and set > 0 then
  local sizes, size = {}, 0
  local hash = redis.call('HGETALL', KEYS[1])
  for i = 1, #hash, 2 do sizes[hash[i]] = #hash[i] + #hash[i + 1] end
  for i = at + set, #ARGV do sizes[ARGV[i]] = nil end
  for i = at, at + set - 1, 2 do sizes[ARGV[i]] = #ARGV[i] + #ARGV[i + 1] end
  for name, bytes in pairs(sizes) do
    if name ~= '@' then size = size + bytes - (string.sub(name, 1, 1) == '@' and 1 or 0) end
  end
  if size > most then return 'large' end
end

-- What a full server refuses comes first: then it refuses all of it.
local is_final = deadline <= idle and 'f' or ''
if is_final ~= final then redis.call('HSET', KEYS[1], '@', '1:' .. created .. ':' .. is_final .. ':' .. owner) end
for i = at, at + set - 1, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
for i = at + set, #ARGV do redis.call('HDEL', KEYS[1], ARGV[i]) end
redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', math.min(idle, deadline)))
return 'ok'
"""

# KEYS: the session. Returns its fields as a flat list and its time to live in ms, or nil where there is none.
DELETE = """
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'none' then return nil end
local hash = {}
if kind == 'hash' then hash = redis.call('HGETALL', KEYS[1]) end
local ttl = redis.call('PTTL', KEYS[1])
redis.call('DEL', KEYS[1])
return {hash, ttl}
"""
