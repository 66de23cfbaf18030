"""Who may do what at the store: the nodes' user, the few commands it needs on sessions, and nobody else."""

import hashlib

NODE = "node"
EXPRESS = "express"
"""In containers, who shares sessions with express-session: the Node application, and nodes with that store."""
KEYS = ("session:*",)
"""The only keys that the nodes' user can name."""
EXPRESS_KEYS = ("sess:*", "damaged:sess:*")
"""The same where the nodes share their sessions with express-session."""

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
_CONNECTION_COMMANDS = ("ping", "select", "role")
# redis-py's own client, which looks whether the store answers, introduces itself with CLIENT SETINFO. Redis before 7.2
# does not know it and would not start with a list that names it.
_SETINFO_SINCE = (7, 2)


def acl_file(password: str, version: tuple[int, ...], express: bool = False) -> str:
    """The text of an ACL file for a server of this version; the password is in it as a hash only.

    `express`: for sessions in the format of express-session, which the Node application reaches as the same user.
    """
    # Off, and without a password: nobody can be this user. But it keeps its rights, since the server itself is this
    # user when it reads its append-only file, and would skip the transactions in it (seen on Redis 8.0.2).
    return "user default off resetpass ~* &* +@all\n" + user_line(NODE, password, version, express)


def user_line(name: str, password: str, version: tuple[int, ...], express: bool = False) -> str:
    """The line of one more user, with the rights on sessions of this cluster's or of express-session's format."""
    commands = [*_CONNECTION_COMMANDS, *(_EXPRESS_COMMANDS if express else _SESSION_COMMANDS)]
    if version >= _SETINFO_SINCE:
        commands.append("client|setinfo")
    keys = " ".join(f"~{pattern}" for pattern in (EXPRESS_KEYS if express else KEYS))
    allowed = " ".join(f"+{command}" for command in commands)
    hashed = hashlib.sha256(password.encode()).hexdigest()
    return f"user {name} on #{hashed} {keys} resetchannels -@all {allowed}\n"
