"""Who may do what at the store: the nodes' user, the few commands it needs on sessions, and nobody else."""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

NODE = "node"
EXPRESS = "express"
"""In containers, who shares sessions with express-session: the Node application, and nodes with that store."""
REPLICA = "replica"
SENTINEL = "sentinel"
OPERATOR = "operator"
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
# To find out which server has which sessions.
_DISCOVERY = ("cluster|slots", "cluster|info", "asking")

# Beside the nodes, where there are several servers. A replica copies all; a Sentinel is what Redis's documentation
# asks for, and FAILOVER for one that is coordinated; the operator is whoever runs this cluster.
_REPLICA = "-@all +ping +psync +replconf"
_SENTINEL = (
    "&* -@all +ping +info +role +publish +subscribe +multi +exec +slaveof +replicaof +failover"
    " +config|rewrite +client|setname +client|kill +client|pause +client|unpause +script|kill"
)
_OPERATOR = "-@all +ping +info +role +cluster +config|set +client|kill"
# At the Sentinels: what the nodes ask, what Sentinels ask each other.
_SENTINEL_NODE = "-@all +ping +sentinel|master +sentinel|get-master-addr-by-name"
_SENTINEL_PEER = "&* -@all +ping +publish +sentinel|is-master-down-by-addr +client|setname"
_SENTINEL_OPERATOR = (
    "-@all +ping +sentinel|master +sentinel|get-master-addr-by-name"
    " +sentinel|failover +sentinel|ckquorum +sentinel|debug"
)
# redis-py's own client, which looks whether the store answers, introduces itself with CLIENT SETINFO. Redis before 7.2
# does not know it and would not start with a list that names it.
_SETINFO_SINCE = (7, 2)


def _random() -> str:
    return secrets.token_hex(32)


@dataclass(frozen=True, repr=False)
class Passwords:
    """Of the users of a store of several servers."""

    node: str = field(default_factory=_random)
    node_at_sentinels: str = field(default_factory=_random)
    replica: str = field(default_factory=_random)
    sentinel: str = field(default_factory=_random)
    operator: str = field(default_factory=_random)


def acl_file(password: str, version: tuple[int, ...], express: bool = False, others: Passwords | None = None) -> str:
    """The text of an ACL file for a server of this version; passwords are in it as hashes only.

    `express`: for sessions in the format of express-session, which the Node application reaches as the same user.
    `others`: for one server of several, which replicas, Sentinels and the operator reach too.
    """
    # Off, and without a password: nobody can be this user. But it keeps its rights, since the server itself is this
    # user when it reads its append-only file, and would skip the transactions in it (seen on Redis 8.0.2).
    text = "user default off resetpass ~* &* +@all\n"
    text += user_line(NODE, password, version, express, () if others is None else _DISCOVERY)
    if others is not None:
        text += _line(REPLICA, others.replica, _REPLICA)
        text += _line(SENTINEL, others.sentinel, _SENTINEL)
        text += _line(OPERATOR, others.operator, _OPERATOR)
    return text


def user_line(
    name: str, password: str, version: tuple[int, ...], express: bool = False, more: Sequence[str] = ()
) -> str:
    """The line of one more user, with the rights on sessions of this cluster's or of express-session's format, and
    `more` commands."""
    commands = [*_CONNECTION_COMMANDS, *(_EXPRESS_COMMANDS if express else _SESSION_COMMANDS), *more]
    if version >= _SETINFO_SINCE:
        commands.append("client|setinfo")
    keys = " ".join(f"~{pattern}" for pattern in (EXPRESS_KEYS if express else KEYS))
    allowed = " ".join(f"+{command}" for command in commands)
    return _line(name, password, f"{keys} resetchannels -@all {allowed}")


def sentinel_acl_file(passwords: Passwords) -> str:
    """The text of the ACL file of a Sentinel."""
    return (
        "user default off resetpass\n"
        + _line(NODE, passwords.node_at_sentinels, _SENTINEL_NODE)
        + _line(SENTINEL, passwords.sentinel, _SENTINEL_PEER)
        + _line(OPERATOR, passwords.operator, _SENTINEL_OPERATOR)
    )


def _line(name: str, password: str, can: str) -> str:
    return f"user {name} on #{hashlib.sha256(password.encode()).hexdigest()} {can}\n"
