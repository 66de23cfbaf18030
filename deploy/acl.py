"""Who may do what at the store: the nodes' user, the few commands it needs on sessions, and nobody else."""

import hashlib
from dataclasses import dataclass

NODE = "node"
OBSERVER = "observer"
"""Of a local cluster: who reads the store's statistics, and nothing of what it holds."""


@dataclass(frozen=True)
class Rights:
    """What the nodes' user may do at the store, beyond what every connection begins with."""

    keys: tuple[str, ...]
    """Patterns of the only keys that it can name."""
    commands: tuple[str, ...]


# What `nodes.sessions.stores.redis` sends, itself and inside its scripts; what a connection begins with. AUTH and
# HELLO are allowed to everybody. SCAN shows the names of all keys, whatever their pattern.
_SESSION_COMMANDS = (
    *("hgetall", "hget", "hset", "hdel", "pttl", "pexpire", "pexpireat", "del", "exists", "type", "rename", "time"),
    *("zadd", "zrange", "zrem", "zcard", "zremrangebyscore", "zrandmember", "scan"),
    *("evalsha", "script|load", "wait"),
)
# What `nodes.sessions.stores.express` sends, and connect-redis.
_EXPRESS_COMMANDS = (
    *("get", "set", "expire", "pexpire", "pttl", "ttl", "del", "type", "rename", "time", "scan", "mget"),
    *("evalsha", "script|load"),
)
SESSIONS = Rights(("session:*",), _SESSION_COMMANDS)
SHARED_WITH_EXPRESS = Rights(("sess:*", "damaged:sess:*"), _EXPRESS_COMMANDS)
"""For sessions in the format of express-session, which a Node application reaches as the same user."""
STATISTICS = Rights((), ("info",))
_CONNECTION_COMMANDS = ("ping", "select")
# redis-py's own client, which looks whether the store answers, introduces itself with CLIENT SETINFO. Redis before 7.2
# does not know it and would not start with a list that names it.
_SETINFO_SINCE = (7, 2)


def acl_file(password: str, version: tuple[int, ...], rights: Rights = SESSIONS) -> str:
    """The text of an ACL file for a server of this version; the password is in it as a hash only."""
    # Off, and without a password: nobody can be this user. But it keeps its rights, since the server itself is this
    # user when it reads its append-only file, and would skip the transactions in it (seen on Redis 8.0.2).
    return "user default off resetpass ~* &* +@all\n" + user_line(NODE, password, version, rights)


def user_line(name: str, password: str, version: tuple[int, ...], rights: Rights) -> str:
    """The line of one user."""
    commands = [*_CONNECTION_COMMANDS, *rights.commands]
    if version >= _SETINFO_SINCE:
        commands.append("client|setinfo")
    keys = [f"~{pattern}" for pattern in rights.keys]
    hashed = hashlib.sha256(password.encode()).hexdigest()
    can = [*keys, "resetchannels", "-@all", *(f"+{command}" for command in commands)]
    return f"user {name} on #{hashed} {' '.join(can)}\n"
