"""The records of the Redis store, and the Lua scripts that write them.

A session is a hash with each field under its name and the metadata under `@`:
`1:<created, ms since the epoch>:<f where final>:<owner>`; 1 is the format. A field of the session that begins with `@`
gets a second one. The mark of a session that ended is a hash with the field `successor`.

Each script works on one slot of a Redis Cluster: its keys share a hash tag. The scripts that write a session can be
made safe to send twice. They are given a last key, named by a new token: the first time they leave their reply
there, in the same transaction of the replication as the write; the second time they find it, change nothing and return
the same reply. They still write to that key, so that a WAIT after it covers the first write.

A script is called by its SHA-1, and sent in full only to a server that does not know it yet.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from ...store import ELSEWHERE, LATEST, CorruptRecord, Record, UnsupportedRecordVersion
from .connection import Command
from .reply_forms import FORMS, Form, is_int, is_list_of_bytes, is_number_or_none, is_one_of, is_scalar


class Script:
    """A script of this Lua code, whose reply has this form."""

    def __init__(self, text: str, form: Form = is_scalar) -> None:
        self.text = text
        # Redis names scripts by their SHA-1; no secret depends on it.
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        BY_SHA[self.sha] = self
        FORMS[self.sha] = form

    def call(self, keys: tuple[str, ...], *arguments: str | bytes | int) -> Command:
        return ("EVALSHA", self.sha, len(keys), *keys, *arguments)

    @property
    def load(self) -> Command:
        return "SCRIPT", "LOAD", self.text


BY_SHA: dict[str, Script] = {}

# Longer than any request waits for a failover (`OutagePolicy`: 25 s at most).
_TOKEN_MS = 30_000
_SLICE = 1000
"""Arguments that Lua unpacks at a time; it can unpack about 8000. An even number: names and values."""
_REPLY_AGAIN = f"""
if once then
  local answer = redis.call('HGET', once, 'answer')
  if answer then
    redis.call('PEXPIRE', once, {_TOKEN_MS})
    return answer
  end
end
"""
_KEEP_REPLY = f"""
if once then
  redis.call('HSET', once, 'answer', answer)
  redis.call('PEXPIRE', once, {_TOKEN_MS})
end
"""

# KEYS: the session, perhaps a token. ARGV: idle ms, absolute ms, owner, created ms (empty: now), then name, value, ...
# Returns created in ms as text (a Lua number would lose digits), or nil where the key is taken.
CREATE = Script(
    f"""
local once = KEYS[2]
{_REPLY_AGAIN}
if redis.call('EXISTS', KEYS[1]) == 1 then return nil end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local idle, absolute = tonumber(ARGV[1]), tonumber(ARGV[2])
local created = ARGV[4] ~= '' and ARGV[4] or string.format('%.0f', now)
local deadline = created + absolute
local final = deadline <= now + idle
local answer = created
{_KEEP_REPLY}
redis.call('HSET', KEYS[1], '@', '1:' .. created .. ':' .. (final and 'f' or '') .. ':' .. ARGV[3])
for i = 5, #ARGV, {_SLICE} do redis.call('HSET', KEYS[1], unpack(ARGV, i, math.min(i + {_SLICE} - 1, #ARGV))) end
redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', math.min(now + idle, deadline)))
return created
""",
    is_number_or_none,
)

# KEYS: the session, its mark, perhaps a token. ARGV: idle ms, absolute ms, most bytes (0: unbounded), number of
# expectations, number of arguments to set; then name, 1 or 0 (0: missing), bytes for each expectation; then name, value
# to set; then names to delete.
UPDATE = Script(
    f"""
-- Whether the session is surely within its bound, without reading all of it: it has no more bytes than the memory that
-- it takes, but where Redis keeps text of up to 20 digits as a number, in half of the bytes.
local function fits(most, at, set)
  local memory = redis.pcall('MEMORY', 'USAGE', KEYS[1], 'SAMPLES', '0')
  if type(memory) ~= 'number' then return false end  -- not permitted
  local size = 2 * memory
  if size > most then
    local count = redis.pcall('HLEN', KEYS[1])
    if type(count) == 'number' then size = memory + 20 * count end
  end
  for i = at, at + set - 1 do size = size + #ARGV[i] end
  return size <= most
end
local once = KEYS[3]
{_REPLY_AGAIN}
local meta = redis.pcall('HGET', KEYS[1], '@')
if type(meta) ~= 'string' then
  if redis.call('EXISTS', KEYS[1]) == 1 then return 'damaged' end
  return redis.call('EXISTS', KEYS[2]) == 1 and 'ended' or 'absent'
end
local created, final, owner = string.match(meta, '^1:(%d+):(f?):(.*)$')
if not created then
  local version = tonumber(string.match(meta, '^(%d+):'))
  return version and version > 1 and 'newer' or 'damaged'
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local idle, deadline = now + tonumber(ARGV[1]), created + tonumber(ARGV[2])
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
-- After the comparison: a writer that does not know the session's own lifetime must not end it.
if deadline <= now then
  redis.call('DEL', KEYS[1])
  return 'absent'
end

local most = tonumber(ARGV[3])
if most > 0 and set > 0 and not fits(most, at, set) then
  local sizes, size = {{}}, 0
  local hash = redis.call('HGETALL', KEYS[1])
  for i = 1, #hash, 2 do sizes[hash[i]] = #hash[i] + #hash[i + 1] end
  for i = at + set, #ARGV do sizes[ARGV[i]] = nil end
  for i = at, at + set - 1, 2 do sizes[ARGV[i]] = #ARGV[i] + #ARGV[i + 1] end
  for name, bytes in pairs(sizes) do
    if name ~= '@' then size = size + bytes - (string.sub(name, 1, 1) == '@' and 1 or 0) end
  end
  if size > most then return 'large' end
end

-- The write that a full server refuses comes first, so that it refuses all of them.
local answer = 'ok'
{_KEEP_REPLY}
local is_final = deadline <= idle and 'f' or ''
if is_final ~= final then redis.call('HSET', KEYS[1], '@', '1:' .. created .. ':' .. is_final .. ':' .. owner) end
local last = at + set - 1
for i = at, last, {_SLICE} do redis.call('HSET', KEYS[1], unpack(ARGV, i, math.min(i + {_SLICE} - 1, last))) end
for i = at + set, #ARGV do redis.call('HDEL', KEYS[1], ARGV[i]) end
redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', math.min(idle, deadline)))
return 'ok'
""",
    is_one_of(b"ok", b"absent", b"ended", b"conflict", b"large", b"newer", b"damaged"),
)

# KEYS: the session. WAIT covers the writes of this connection alone. Another client may have deleted the session and
# failed at its WAIT, so the script writes in any case, and the WAIT covers that deletion too. DEL is the first write: a
# full server refuses any other first write.
DELETE = Script("""
if redis.call('DEL', KEYS[1]) == 0 then
  redis.call('HSET', KEYS[1], '@', '')
  redis.call('DEL', KEYS[1])
end
""")

# KEYS: the session, its mark, perhaps a token. ARGV: the successor, ms that the mark stays, 1 where fields are
# expected; then name, value of all of them. DEL is the first write: a full server refuses any other first write, but
# none after it. An earlier mark is written again as it is, so that a WAIT covers the call that left it.
RETIRE = Script(
    f"""
local once = KEYS[3]
{_REPLY_AGAIN}
local answer, successor = 'ok', ARGV[1]
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'none' then
  local earlier = redis.call('HGET', KEYS[2], 'successor')
  if earlier == '{ELSEWHERE.decode()}' then earlier = false end
  answer, successor = earlier and 'ended' or 'absent', earlier or successor
elseif ARGV[3] == '1' then
  local hash = kind == 'hash' and redis.call('HGETALL', KEYS[1]) or {{}}
  if #hash ~= #ARGV - 1 then return 'conflict' end
  local expected = {{}}
  for i = 4, #ARGV, 2 do expected[ARGV[i]] = ARGV[i + 1] end
  for i = 1, #hash, 2 do
    if hash[i] ~= '@' and hash[i + 1] ~= expected[hash[i]] then return 'conflict' end
  end
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[2], 'successor', successor)
if answer ~= 'ended' then redis.call('PEXPIRE', KEYS[2], ARGV[2]) end
{_KEEP_REPLY}
return answer
""",
    is_one_of(b"ok", b"absent", b"ended", b"conflict"),
)

# KEYS: the session, where to put it. ARGV: how many ms to keep it there.
QUARANTINE = Script(
    """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('RENAME', KEYS[1], KEYS[2])
redis.call('PEXPIRE', KEYS[2], ARGV[1])
return 1
""",
    is_int,
)

# The index of a user's sessions: a sorted set by the time in us at which a session has expired at the latest. A member
# is the 32 bytes of the session's key and 4 bytes of the second in which it was written.

# KEYS: the index. ARGV: the session's key, absolute ms, created ms (empty: now), a margin in ms. Returns the number of
# members.
INDEX = Script(
    """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
local created = ARGV[3] ~= '' and ARGV[3] * 1000 or now
local score = created + (ARGV[2] + ARGV[4]) * 1000
redis.call('ZADD', KEYS[1], string.format('%.0f', score), ARGV[1] .. struct.pack('>I4', time[1]))
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', math.ceil(last[2] / 1000)))
return redis.call('ZCARD', KEYS[1])
""",
    is_int,
)

# KEYS: the index. ARGV: seconds, then members without a session. Removes the older ones, and returns the younger ones:
# their sessions may be about to be created.
PRUNE = Script(
    """
local before = redis.call('TIME')[1] - ARGV[1]
local young = {}
for i = 2, #ARGV do
  if struct.unpack('>I4', ARGV[i], 33) < before then
    redis.call('ZREM', KEYS[1], ARGV[i])
  else
    table.insert(young, ARGV[i])
  end
end
return young
""",
    is_list_of_bytes,
)


FORMAT = 1
"""The format that the scripts write and change. They leave other formats alone."""
META = b"@"
_METADATA = re.compile(rb"1:(\d{1,15}):(f?):(.*)", re.DOTALL)


def flatten(fields: Mapping[str, bytes]) -> list[str | bytes]:
    """Return name, value, name, value, ... as they are stored."""
    flat: list[str | bytes] = []
    for name, value in fields.items():
        flat += (escape(name), value)
    return flat


def escape(name: str) -> str:
    return f"@{name}" if name[:1] == "@" else name


def parse_metadata(key: str, meta: bytes | None) -> tuple[float, bool, str | None]:
    """Return when the session was created (seconds since the epoch), whether it is final, and its owner.

    Raises `UnsupportedRecordVersion` for a later format, and `CorruptRecord`.
    """
    match = _METADATA.fullmatch(meta or b"")
    if match and (created := int(match[1])) < LATEST * 1000:
        try:
            return created / 1000, match[2] == b"f", match[3].decode() or None
        except UnicodeDecodeError:
            pass
    version = (meta or b"").partition(b":")[0].lstrip(b"0")
    # Python refuses to read thousands of digits as a number; a longer number is a larger one.
    if version.isdigit() and (len(version) > 9 or int(version) > FORMAT):
        raise UnsupportedRecordVersion(
            f"session {key} is of format {version[:10].decode()}; this version reads {FORMAT}"
        )
    raise CorruptRecord("its metadata can't be read, or its time of creation is out of range")


def to_record(key: str, stored: dict[bytes, bytes], ttl: int) -> Record:
    """Return the record in a hash that expires in `ttl` ms. Raises as `parse_metadata` does."""
    try:
        created, final, owner = parse_metadata(key, stored.get(META))
    except CorruptRecord as error:
        raise CorruptRecord(str(error), stored) from error
    if ttl < 0:
        raise CorruptRecord("it has no expiry", (stored, ttl))
    try:
        fields = {name.decode(): value for name, value in stored.items() if name != META}
        if "@" in "".join(fields):  # seldom
            fields = {name.removeprefix("@"): value for name, value in fields.items()}
    except ValueError as error:
        raise CorruptRecord(f"the name of a field is not text: {error}", stored) from error
    return Record(fields, owner, created, ttl / 1000, final)


def to_dict(reply: Any) -> dict[bytes, bytes]:
    """Return the reply to HGETALL as a dict: it is a map in RESP3, and a flat list in RESP2 and from a script."""
    if isinstance(reply, dict):
        return reply
    return dict(zip(reply[::2], reply[1::2], strict=True))
