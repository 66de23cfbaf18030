"""Everything a node is told from outside, typed, and checked before it starts."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from .environment import Environment, SettingsError
from .naming import default_name
from .secret_settings import database_url, encryption_keys, redis_url, session_secrets

_NODE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")
_COOKIE_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}\Z")


class StoreKind(Enum):
    """Where sessions live."""

    MEMORY = "memory"
    """In each worker's own memory: what breaks as soon as there are two."""
    FILE = "file"
    """In files of one folder, shared by the nodes of one machine."""
    SQL = "sql"
    """In SQLite, MySQL, MariaDB or PostgreSQL."""
    REDIS = "redis"
    """In Redis or Valkey, shared by all nodes."""
    EXPRESS = "express"
    """In connect-redis's format, shared with a Node application on express-session."""

    @property
    def uses_redis(self) -> bool:
        return self in {StoreKind.REDIS, StoreKind.EXPRESS}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A node's settings. Times are seconds; the environment variable of each field stands beside it."""

    node_name: str  # NODE_NAME
    secrets: tuple[str, ...] = field(repr=False)  # SESSION_SECRETS or SESSION_SECRETS_FILE
    users_file: Path  # USERS_FILE
    bind: str = "127.0.0.1:8000"  # NODE_BIND
    workers: int = 1  # NODE_WORKERS
    store: StoreKind = StoreKind.MEMORY  # SESSION_STORE
    redis_url: str | None = field(default=None, repr=False)  # REDIS_URL or REDIS_URL_FILE
    database_url: str | None = field(default=None, repr=False)  # DATABASE_URL or DATABASE_URL_FILE
    create_schema: bool = False  # DATABASE_CREATE_SCHEMA
    folder: Path | None = None  # SESSION_FOLDER
    durability: str = "primary"  # STORE_DURABILITY
    replicas: int = 0  # STORE_REPLICAS
    encryption_keys: tuple[bytes, ...] = field(
        default=(), repr=False
    )  # SESSION_ENCRYPTION_KEYS or SESSION_ENCRYPTION_KEYS_FILE
    encryption: str = "require"  # SESSION_ENCRYPTION
    session_name: str = "session"  # SESSION_NAME
    idle_timeout: float = 1800.0  # SESSION_IDLE_TIMEOUT
    absolute_timeout: float = 28800.0  # SESSION_ABSOLUTE_TIMEOUT
    secure: str = "auto"  # SESSION_SECURE
    http_only: bool = True  # SESSION_HTTP_ONLY
    same_site: str = "lax"  # SESSION_SAME_SITE
    max_age: int | None = None  # SESSION_MAX_AGE
    rolling: bool = False  # SESSION_ROLLING
    resave: bool = False  # SESSION_RESAVE
    save_uninitialized: bool = False  # SESSION_SAVE_UNINITIALIZED
    max_bytes: int = 65536  # SESSION_MAX_BYTES
    max_sessions: int | None = None  # SESSION_MAX_PER_USER
    session_limit: str = "end_oldest"  # SESSION_LIMIT
    login_attempts: int = 10  # LOGIN_ATTEMPTS
    login_window: float = 900.0  # LOGIN_WINDOW
    connect_timeout: float = 0.25  # STORE_CONNECT_TIMEOUT
    read_timeout: float = 0.25  # STORE_READ_TIMEOUT
    retries: int = 1  # STORE_RETRIES
    deadline: float = 1.0  # STORE_DEADLINE
    outage: str = "fail_fast"  # STORE_OUTAGE
    wait_seconds: float = 10.0  # STORE_WAIT_SECONDS
    waiting: int = 500  # STORE_WAITING
    sweep_seconds: float = 60.0  # SESSION_SWEEP_SECONDS
    trusted_proxies: int = 1  # TRUSTED_PROXIES
    log_level: str = "info"  # LOG_LEVEL

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], name: Callable[[], str] = default_name) -> Settings:
        """Reads the settings out of `environ`; `name` finds the node's name where NODE_NAME is unset.

        Raises `SettingsError`, one line that says which variable is wrong, with which value, and what to do.
        """
        env = Environment(environ)
        store = StoreKind(env.choice("SESSION_STORE", "memory", [kind.value for kind in StoreKind]))
        users_file = env.file("USERS_FILE")
        if users_file is None:
            raise SettingsError("USERS_FILE is not set: give the path of the users file that `nodes.accounts` makes")
        idle = env.seconds("SESSION_IDLE_TIMEOUT", cls.idle_timeout, 1, 365 * 86400)
        absolute = env.seconds("SESSION_ABSOLUTE_TIMEOUT", cls.absolute_timeout, 1, 365 * 86400)
        if idle > absolute:
            raise SettingsError(
                f"SESSION_IDLE_TIMEOUT={idle:g}: use at most SESSION_ABSOLUTE_TIMEOUT, which is {absolute:g}"
            )
        secure = env.choice("SESSION_SECURE", cls.secure, ["auto", "on", "off"])
        same_site = env.choice("SESSION_SAME_SITE", cls.same_site, ["lax", "strict", "none", "auto"])
        if same_site == "none" and secure == "off":
            raise SettingsError("SESSION_SAME_SITE=none: browsers refuse it with SESSION_SECURE=off; use auto or on")
        durability = env.choice("STORE_DURABILITY", cls.durability, ["primary", "revocations", "every_write"])
        replicas = env.whole("STORE_REPLICAS", cls.replicas, 0, 100)
        if durability != "primary" and (replicas == 0 or store is not StoreKind.REDIS):
            raise SettingsError(
                f"STORE_DURABILITY={durability}: it needs SESSION_STORE=redis and STORE_REPLICAS of 1 or more"
            )
        outage = env.choice("STORE_OUTAGE", cls.outage, ["fail_fast", "wait"])
        if outage == "wait" and not store.uses_redis:
            raise SettingsError("STORE_OUTAGE=wait: only a Redis is waited for; use it with SESSION_STORE=redis")
        max_sessions = env.whole("SESSION_MAX_PER_USER", 0, 0, 100_000) or None
        keys = encryption_keys(env)
        if store is StoreKind.EXPRESS and (max_sessions or keys):
            name_ = "SESSION_MAX_PER_USER" if max_sessions else "SESSION_ENCRYPTION_KEYS"
            raise SettingsError(f"{name_} is set: a Node application that shares the sessions knows nothing of it")
        encryption = env.choice("SESSION_ENCRYPTION", cls.encryption, ["require", "write", "read"])
        if env.text("SESSION_ENCRYPTION") and not keys:
            raise SettingsError(f"SESSION_ENCRYPTION={encryption}: it needs SESSION_ENCRYPTION_KEYS")
        default_cookie = "connect.sid" if store is StoreKind.EXPRESS else cls.session_name
        return cls(
            node_name=_matching("NODE_NAME", env.text("NODE_NAME") or name(), _NODE_NAME),
            secrets=session_secrets(env),
            users_file=users_file,
            bind=_bind(env.text("NODE_BIND") or cls.bind),
            workers=env.whole("NODE_WORKERS", cls.workers, 1, 64),
            store=store,
            redis_url=redis_url(env) if store.uses_redis else None,
            database_url=database_url(env) if store is StoreKind.SQL else None,
            create_schema=env.switch("DATABASE_CREATE_SCHEMA", cls.create_schema),
            folder=_folder(env) if store is StoreKind.FILE else None,
            durability=durability,
            replicas=replicas,
            encryption_keys=keys,
            encryption=encryption,
            session_name=_matching("SESSION_NAME", env.text("SESSION_NAME") or default_cookie, _COOKIE_NAME),
            idle_timeout=idle,
            absolute_timeout=absolute,
            secure=secure,
            http_only=env.switch("SESSION_HTTP_ONLY", cls.http_only),
            same_site=same_site,
            max_age=env.whole("SESSION_MAX_AGE", 0, 0, 365 * 86400) or None,
            rolling=env.switch("SESSION_ROLLING", cls.rolling),
            resave=env.switch("SESSION_RESAVE", cls.resave),
            save_uninitialized=env.switch("SESSION_SAVE_UNINITIALIZED", cls.save_uninitialized),
            max_bytes=env.whole("SESSION_MAX_BYTES", cls.max_bytes, 1024, 16 * 1024 * 1024),
            max_sessions=max_sessions,
            session_limit=env.choice("SESSION_LIMIT", cls.session_limit, ["refuse", "end_oldest"]),
            login_attempts=env.whole("LOGIN_ATTEMPTS", cls.login_attempts, 0, 1000),
            login_window=env.seconds("LOGIN_WINDOW", cls.login_window, 1, 86400),
            connect_timeout=env.seconds("STORE_CONNECT_TIMEOUT", cls.connect_timeout, 0.01, 60),
            read_timeout=env.seconds("STORE_READ_TIMEOUT", cls.read_timeout, 0.01, 60),
            retries=env.whole("STORE_RETRIES", cls.retries, 0, 10),
            deadline=env.seconds("STORE_DEADLINE", cls.deadline, 0.01, 60),
            outage=outage,
            wait_seconds=env.seconds("STORE_WAIT_SECONDS", cls.wait_seconds, 0.1, 25),
            waiting=env.whole("STORE_WAITING", cls.waiting, 1, 10_000),
            sweep_seconds=env.seconds("SESSION_SWEEP_SECONDS", cls.sweep_seconds, 0, 86400),
            trusted_proxies=env.whole("TRUSTED_PROXIES", cls.trusted_proxies, 0, 10),
            log_level=env.choice("LOG_LEVEL", cls.log_level, ["debug", "info", "warning", "error"]),
        )

    def budgets(self) -> dict[str, float | str]:
        """How long a request may wait for the store; printed once when the node starts."""
        waits = {"wait_seconds": self.wait_seconds, "waiting": self.waiting} if self.outage == "wait" else {}
        return {
            "connect_timeout": self.connect_timeout,
            "read_timeout": self.read_timeout,
            "retries": self.retries,
            "deadline": self.deadline,
            "outage": self.outage,
            **waits,
        }


def _matching(name: str, value: str, pattern: re.Pattern[str]) -> str:
    if not pattern.match(value):
        longest = 63 if pattern is _NODE_NAME else 64
        raise SettingsError(f"{name}={value!r}: use 1 to {longest} letters, digits, '-', '_' or '.'")
    if value.lower().startswith(("__host-", "__secure-")):
        raise SettingsError(f"{name}={value}: leave the prefix out; it is added where the connection is TLS")
    return value


def _folder(env: Environment) -> Path:
    folder = env.text("SESSION_FOLDER")
    if folder is None:
        raise SettingsError("SESSION_FOLDER is not set, and SESSION_STORE=file needs it: a folder of this node's user")
    return Path(folder)


def _bind(value: str) -> str:
    if value.startswith("unix:"):
        return value
    host, colon, port = value.rpartition(":")
    try:
        known = bool(host and colon) and port.isdecimal() and int(port) <= 65535
        if known and ":" in host:
            socket.inet_pton(socket.AF_INET6, host.strip("[]"))
    except OSError:
        known = False
    if not known:
        raise SettingsError(f"NODE_BIND={value}: use host:port with a port up to 65535, or unix:/path")
    return value
