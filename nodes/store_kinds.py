# ruff: noqa: RUF009 - what the functions return is dataclasses.field
"""The kinds of stores: the settings of each, and the stores that are made from them.

gunicorn's main process imports this before gevent patches anything, so each store is imported where it is made.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from .environment import Environment, Setting, SettingsError, choice, seconds, setting, switch, whole

if TYPE_CHECKING:
    from .sessions import Budgets, Durability, RedisStore, Store
    from .sessions.stores.sql import SqlStore

_NAMESPACE = re.compile(r"[a-z][a-z0-9_]{0,30}\Z")
_DATABASES = ("sqlite://", "mysql://", "mariadb://", "postgresql://")
# Only a first check of the URL: the store parses it in full.
_SEVERAL_SERVERS = re.compile(r"rediss?\+(?:sentinel://[^/?#]+/[^/?#]+|cluster://[^/?#]+)")


class SessionStoreKind(Enum):
    """Where sessions live."""

    MEMORY = "memory"
    """In each worker's own memory: with two workers, each misses the sessions of the other."""
    FILE = "file"
    """In files of one folder, shared by the nodes of one machine."""
    SQL = "sql"
    """In SQLite, MySQL, MariaDB or PostgreSQL."""
    REDIS = "redis"
    """In Redis or Valkey, shared by all nodes."""
    EXPRESS = "express"
    """In connect-redis's format, shared with a Node application on express-session."""


_REDIS = (SessionStoreKind.REDIS, SessionStoreKind.EXPRESS)


def _redis_url(env: Environment) -> str | None:
    url, source = env.secret("REDIS_URL")
    if url is None or _SEVERAL_SERVERS.match(url):
        return url
    try:
        parts = urlsplit(url)
        valid = parts.scheme == "unix" or (parts.scheme in {"redis", "rediss"} and bool(parts.hostname))
    except ValueError:
        valid = False
    if not valid:
        raise SettingsError(
            f"{source}={_without_password(url)}: use redis://, rediss:// (TLS) or unix://, as redis://host:6379/0,"
            " redis+sentinel://user:password@host:26379,host:26379/NAME, or redis+cluster://user:password@host:6379"
        )
    return url


def _database_url(env: Environment) -> str | None:
    url, source = env.secret("DATABASE_URL")
    if url is not None and not url.startswith(_DATABASES):
        raise SettingsError(f"{source} must begin with one of {', '.join(_DATABASES)}, not {_without_password(url)}")
    return url


def _namespace(env: Environment) -> str | None:
    value = env.text("STORE_NAMESPACE")
    if value is not None and not _NAMESPACE.match(value):
        raise SettingsError(
            f"STORE_NAMESPACE must be 1 to 31 lower-case letters, digits and '_', with a letter first, not {value!r}"
        )
    return value


def _without_password(url: str) -> str:
    """Return the URL without the parts that may hold a password: before the host and after the question mark."""
    shown = url.partition("?")[0]
    if "@" in shown:
        return f"***{shown[shown.rindex('@') :]}"
    return "***" if "@" in url else shown  # the question mark may be in the password


# ---- settings


@dataclass(frozen=True, kw_only=True)
class SessionStoreSettings:
    """The settings of a node's stores. Times are seconds."""

    store: SessionStoreKind = choice(
        "SESSION_STORE", " ".join(kind.value for kind in SessionStoreKind),
        "Where sessions live; `express` shares them with a Node application, see [express.md](express.md).",
        SessionStoreKind,
    )  # fmt: skip
    redis_url: str | None = setting(
        "REDIS_URL", None, "`redis://user:password@host:port/0`, `rediss://` (TLS), `unix://`,"
        " `redis+sentinel://user:password@h1:26379,h2,h3/NAME?sentinel_username=…&sentinel_password=…`;"
        " for redis also `redis+cluster://user:password@h1:6379,h2,h3`",
        "The store's servers, see [redis.md](redis.md).", _redis_url, stores=_REDIS,
        example="redis://user:password@host:6379/0", shown="", is_secret=True,
    )  # fmt: skip
    database_url: str | None = setting(
        "DATABASE_URL", None, "`sqlite:////path`, `mysql://`, `mariadb://`, `postgresql://user:password@host/database`",
        "The store's database, see [sql.md](sql.md).", _database_url, stores=(SessionStoreKind.SQL,),
        example="postgresql://user:password@host/db", shown="", is_secret=True,
    )  # fmt: skip
    create_schema: bool = switch(
        "DATABASE_CREATE_SCHEMA", False,
        "Create missing tables when the node starts. Else `python -m nodes.stores` does, or your migrations.",
    )  # fmt: skip
    folder: Path | None = setting(
        "SESSION_FOLDER", None, "a path", "The folder of the sessions, on a local disk: all nodes run on its machine.",
        lambda env: Path(folder) if (folder := env.text("SESSION_FOLDER")) else None,
        stores=(SessionStoreKind.FILE,), example="a folder that belongs to this node's user", shown="",
    )  # fmt: skip
    namespace: str = setting(
        "STORE_NAMESPACE", "", "1 to 31 lower-case letters, digits, `_`",
        "For redis, express and sql: what the names of this application's keys or tables begin with, so that several"
        " applications can use one store.",
        _namespace, shown="",
    )  # fmt: skip
    durability: str = choice(
        "STORE_DURABILITY", "primary revocations every_write",
        "For redis: acknowledge a write when the primary has it; or wait for replicas with logouts, or every write.",
    )  # fmt: skip
    replicas: int = whole("STORE_REPLICAS", 0, 0, 100, "How many replicas `STORE_DURABILITY` waits for.")
    max_bytes: int = whole("SESSION_MAX_BYTES", 65536, 1024, 16 * 1024 * 1024, "The most bytes that one session holds.")
    connect_timeout: float = seconds("STORE_CONNECT_TIMEOUT", 0.25, 0.01, 60, "To connect to the store, per attempt.")
    read_timeout: float = seconds("STORE_READ_TIMEOUT", 0.25, 0.01, 60, "For the store's answer, per attempt.")
    retries: int = whole(
        "STORE_RETRIES", 1, 0, 10,
        "How often a read is repeated; a write only with several servers or `STORE_OUTAGE=wait`, where it is safe.",
    )  # fmt: skip
    deadline: float = seconds("STORE_DEADLINE", 1, 0.01, 60, "After this long no further attempt starts.")
    outage: str = choice(
        "STORE_OUTAGE", "fail_fast wait",
        "For redis and express: without a primary, answer 503 within the budgets above, or hold requests until there is"
        " one.",
    )  # fmt: skip
    wait_seconds: float = seconds(
        "STORE_WAIT_SECONDS", 10, 0.1, 25, "How long a request is held; keep it below the proxy's read timeout (15 s)."
    )
    waiting: int = whole("STORE_WAITING", 500, 1, 10_000, "How many requests each worker holds; others fail fast.")

    @property
    def place_variable(self) -> str:
        """The variable that says where the store is, which its kind alone has."""
        settings: Iterator[Setting] = (each.metadata[""] for each in fields(SessionStoreSettings))
        return next((one.variable for one in settings if self.store in one.stores), "SESSION_STORE")

    def check_store(self) -> None:
        """Refuse settings that contradict each other. Raises SettingsError."""
        if self.durability != "primary" and (self.replicas == 0 or self.store is not SessionStoreKind.REDIS):
            raise SettingsError(
                f"STORE_DURABILITY={self.durability}: it needs SESSION_STORE=redis and STORE_REPLICAS of 1 or more"
            )
        if self.namespace and self.store is SessionStoreKind.FILE:
            raise SettingsError(
                f"STORE_NAMESPACE={self.namespace}: files have none; give each application a SESSION_FOLDER of its own"
            )
        if self.outage == "wait" and self.store not in _REDIS:
            raise SettingsError("STORE_OUTAGE=wait: only Redis is waited for; use it with SESSION_STORE=redis")


# ---- stores


RATE_LIMITS = "rate_limits"
"""The prefix, table or folder of the rate limiter's counters, after the namespace."""
ACCOUNTS = "accounts"
"""The prefix, table or folder of the users, after the namespace."""


class Stores(NamedTuple):
    """A node's stores, on one set of connections."""

    sessions: Store
    rate_limits: Store
    accounts: Store


def make(settings: SessionStoreSettings) -> Stores:
    """Return the stores of this kind, which connect when first used. Raises ValueError for a wrong URL."""
    from .sessions import Budgets, FileStore, MemoryStore

    budgets = Budgets(
        connect_timeout=settings.connect_timeout,
        read_timeout=settings.read_timeout,
        retries=settings.retries,
        deadline=settings.deadline,
        max_reply=max(Budgets().max_reply, 2 * settings.max_bytes),
    )
    match settings.store:
        case SessionStoreKind.MEMORY:
            return Stores(MemoryStore(), MemoryStore(), MemoryStore())
        case SessionStoreKind.FILE:
            assert settings.folder is not None, "Settings.from_environ demands it"
            sessions, accounts = (
                FileStore(at, settings.deadline) for at in (settings.folder, settings.folder / ACCOUNTS)
            )
            # Simultaneous logins count at one address, one after another, and can't all wait for the disk.
            counters = FileStore(settings.folder / RATE_LIMITS, settings.deadline, durable=False)
            return Stores(sessions, counters, accounts)
        case SessionStoreKind.SQL:
            # Databases allow far fewer connections than Redis: PostgreSQL 100, for all nodes.
            return Stores(*make_sql_stores(settings, replace(budgets, max_connections=16)))
        case SessionStoreKind.EXPRESS | SessionStoreKind.REDIS:
            return _make_redis_stores(settings, budgets)


def _make_redis_stores(settings: SessionStoreSettings, budgets: Budgets) -> Stores:
    from .sessions import Durability, Outage, OutagePolicy, RedisStore
    from .sessions.stores.express import ExpressStore
    from .sessions.stores.redis import connect

    assert settings.redis_url is not None
    outage = OutagePolicy(Outage(settings.outage), settings.wait_seconds, settings.waiting)
    durability = Durability(settings.durability)
    connections = connect(settings.redis_url, budgets, durability)
    namespace = f"{settings.namespace}:" if settings.namespace else ""

    def make(name: str, durability: Durability = durability) -> RedisStore:
        return RedisStore(connections, budgets, f"{namespace}{name}:", durability, settings.replicas, outage)

    # A lost change of password would bring the old one back, so it is a revocation.
    revocation = Durability.PRIMARY if durability is Durability.PRIMARY else Durability.EVERY_WRITE
    # A failover may forget some guesses. Those of a login that waited for a replica in vain would count as wrong ones.
    rate_limits, accounts = make(RATE_LIMITS, Durability.PRIMARY), make(ACCOUNTS, revocation)
    if settings.store is SessionStoreKind.EXPRESS:
        return Stores(ExpressStore(connections, f"{namespace}sess:", outage=outage), rate_limits, accounts)
    return Stores(make("session"), rate_limits, accounts)


def make_sql_stores(settings: SessionStoreSettings, budgets: Budgets) -> Iterator[SqlStore]:
    """Yield the stores of sessions, counters and users. Raises ValueError for a wrong URL."""
    from .sessions.stores.sql import SqlStore
    from .sessions.stores.sql.engine import make_engine, make_housekeeping_budgets

    assert settings.database_url is not None
    engine = make_engine(settings.database_url, budgets)
    housekeeping = make_engine(settings.database_url, make_housekeeping_budgets(budgets))
    namespace = f"{settings.namespace}_" if settings.namespace else ""
    for table in ("sessions", RATE_LIMITS, ACCOUNTS):
        yield SqlStore(engine, budgets, housekeeping, f"{namespace}{table}")
