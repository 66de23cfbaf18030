"""Who may do what at the store: the nodes' user, the few commands it needs on sessions, and nobody else."""

import hashlib
import secrets
from dataclasses import dataclass, field

NODE = "node"
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
_CONNECTION_COMMANDS = ("ping", "select")
# To find out who is the primary, or which server has which sessions.
_DISCOVERY = ("role", "cluster|slots", "cluster|info", "asking")

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
    commands = [*_CONNECTION_COMMANDS, *(_EXPRESS_COMMANDS if express else _SESSION_COMMANDS)]
    if others is not None:
        commands += _DISCOVERY
    keys = " ".join(f"~{pattern}" for pattern in (EXPRESS_KEYS if express else KEYS))
    if version >= _SETINFO_SINCE:
        commands.append("client|setinfo")
    rights = {
        # Off, and without a password: nobody can be this user. But it keeps its rights, since the server itself is
        # this user when it reads its append-only file, and would skip the transactions in it (seen on Redis 8.0.2).
        "default": "off resetpass ~* &* +@all",
        NODE: f"on #{_hash(password)} {keys} resetchannels -@all {' '.join(f'+{command}' for command in commands)}",
    }
    if others is not None:
        rights[REPLICA] = f"on #{_hash(others.replica)} {_REPLICA}"
        rights[SENTINEL] = f"on #{_hash(others.sentinel)} {_SENTINEL}"
        rights[OPERATOR] = f"on #{_hash(others.operator)} {_OPERATOR}"
    return _text(rights)


def sentinel_acl_file(passwords: Passwords) -> str:
    """The text of the ACL file of a Sentinel."""
    return _text(
        {
            "default": "off resetpass",
            NODE: f"on #{_hash(passwords.node_at_sentinels)} {_SENTINEL_NODE}",
            SENTINEL: f"on #{_hash(passwords.sentinel)} {_SENTINEL_PEER}",
            OPERATOR: f"on #{_hash(passwords.operator)} {_SENTINEL_OPERATOR}",
        }
    )


def _hash(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()


def _text(rights: dict[str, str]) -> str:
    return "".join(f"user {name} {can}\n" for name, can in rights.items())
