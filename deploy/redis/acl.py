"""The users of a Redis server and what each may do: the nodes only what the session library sends, on its own keys."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field

NODE = "node"
EXPRESS = "express"
"""In containers: the Node application, and the nodes whose store shares sessions with it."""
REPLICA = "replica"
SENTINEL = "sentinel"
OPERATOR = "operator"
"""The cluster itself, which asks for statistics and changes roles."""


@dataclass(frozen=True)
class Rights:
    """The rights of a user, besides those to begin a connection. `a | b` are the rights of both."""

    keys: tuple[str, ...] = ()
    """Patterns of the only keys that it can name."""
    commands: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    """Patterns of the only channels that it can listen to."""

    def __or__(self, other: Rights) -> Rights:
        return Rights(self.keys + other.keys, self.commands + other.commands, self.channels + other.channels)


# Commands of `nodes.sessions.stores.redis` and its scripts for records without an owner: the counters of the rate
# limiter, and the users.
BESIDE_SESSIONS = Rights(
    ("rate_limits:*", "*:rate_limits:*", "accounts:*", "*:accounts:*"),  # also after a namespace
    (
        *("hgetall", "hget", "hset", "hdel", "pttl", "pexpire", "pexpireat", "del", "exists", "type", "rename", "time"),
        *("hlen", "memory|usage", "evalsha", "script|load", "wait", "info|memory"),
    ),
)
# SCAN shows the names of all keys, whatever their pattern.
SESSIONS = BESIDE_SESSIONS | Rights(
    ("session:*", "*:session:*"),
    ("zadd", "zrange", "zrem", "zcard", "zremrangebyscore", "zrandmember", "scan"),
)
# Commands of `nodes.sessions.stores.express` and of connect-redis.
SHARED_WITH_EXPRESS = BESIDE_SESSIONS | Rights(
    ("sess:*", "*:sess:*"),
    ("get", "set", "expire", "ttl", "scan", "mget"),
)
"""For sessions in the format of express-session, which a Node application reaches with the same rights."""
SHARDS = Rights(commands=("cluster|slots", "cluster|info", "asking"))
"""To find the servers of a Redis Cluster and their slots."""
PRIMARY = Rights(commands=("sentinel|master", "sentinel|get-master-addr-by-name", "sentinel|is-master-down-by-addr"))
"""To find the primary at the Sentinels, as our nodes do, and to see whether a failover from it may have begun."""
STATISTICS = Rights(commands=("info",))
FILL = STATISTICS | Rights(commands=("dump", "restore", "config|set", "cluster|slots"))
"""To fill a store with copies of a session and to measure it, as `session-cluster capacity` does."""

# AUTH and HELLO are allowed to every client. ROLE tells a client whether its server was demoted.
_CONNECTION = Rights(commands=("ping", "select", "role"))
# redis-py's own client, which looks whether the store answers, introduces itself with CLIENT SETINFO. Redis before 7.2
# does not know it and would not start with a list that names it.
_SETINFO, _SETINFO_SINCE = Rights(commands=("client|setinfo",)), (7, 2)
# A Sentinel knows few commands, and does not start with a list that names another.
_AT_SENTINELS = Rights(commands=("ping",))

# Beside the nodes, where there are several servers. A replica copies all; a Sentinel is what Redis's documentation
# asks for, and FAILOVER for one that is coordinated; the operator is the cluster itself.
_REPLICA = "-@all +ping +psync +replconf"
_SENTINEL = (
    "&* -@all +ping +info +role +publish +subscribe +multi +exec +slaveof +replicaof +failover"
    " +config|rewrite +client|setname +client|kill +client|pause +client|unpause +script|kill"
)
_OPERATOR = "-@all +ping +info +role +cluster +config|set +client|kill"
# At the Sentinels: what Sentinels ask each other, and the operator.
_SENTINEL_PEER = "&* -@all +ping +publish +sentinel|is-master-down-by-addr +client|setname"
_SENTINEL_OPERATOR = (
    "-@all +ping +sentinel|master +sentinel|get-master-addr-by-name"
    " +sentinel|failover +sentinel|ckquorum +sentinel|debug"
)


def _random() -> str:
    return secrets.token_hex(32)


@dataclass(frozen=True, repr=False)
class Passwords:
    """The passwords of the users of a store with several servers."""

    node: str = field(default_factory=_random)
    node_at_sentinels: str = field(default_factory=_random)
    replica: str = field(default_factory=_random)
    sentinel: str = field(default_factory=_random)
    operator: str = field(default_factory=_random)


def redis_acl(
    passwords: Passwords, version: tuple[int, ...], rights: Rights = SESSIONS, *, is_replicated: bool = False
) -> str:
    """Return the text of the ACL file of a server of this version; passwords are in it as hashes only.

    `rights` are those of the nodes' user. A replicated server lets in replicas and Sentinels too, and lets the operator
    change it; the operator of a single one may only read its statistics.
    """
    # The default user is off and has no password, so nobody can log in as it. It keeps its rights because the server
    # itself is this user when it reads its append-only file, and would skip the transactions in it (Redis 8.0.2).
    text = "user default off resetpass ~* &* +@all\n" + user_line(NODE, passwords.node, version, rights)
    if not is_replicated:
        return text + user_line(OPERATOR, passwords.operator, version, STATISTICS)
    text += _line(REPLICA, passwords.replica, _REPLICA)
    text += _line(SENTINEL, passwords.sentinel, _SENTINEL)
    return text + _line(OPERATOR, passwords.operator, _OPERATOR)


def sentinel_acl(passwords: Passwords, rights: Rights = PRIMARY) -> str:
    """Return the text of the ACL file of a Sentinel; `rights` are those of the nodes' user there."""
    return (
        "user default off resetpass\n"
        + _line(NODE, passwords.node_at_sentinels, _to_rules(_AT_SENTINELS | rights))
        + _line(SENTINEL, passwords.sentinel, _SENTINEL_PEER)
        + _line(OPERATOR, passwords.operator, _SENTINEL_OPERATOR)
    )


def user_line(name: str, password: str, version: tuple[int, ...], rights: Rights) -> str:
    """Return the line of a user who has `rights`, and may begin a connection."""
    return _line(
        name, password, _to_rules(_CONNECTION | (_SETINFO if version >= _SETINFO_SINCE else Rights()) | rights)
    )


def _to_rules(rights: Rights) -> str:
    keys, channels = (f"~{pattern}" for pattern in rights.keys), (f"&{pattern}" for pattern in rights.channels)
    return " ".join([*keys, "resetchannels", *channels, "-@all", *(f"+{command}" for command in rights.commands)])


def _line(name: str, password: str, rules: str) -> str:
    return f"user {name} on #{hashlib.sha256(password.encode()).hexdigest()} {rules}\n"
