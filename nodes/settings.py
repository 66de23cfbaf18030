"""Everything a node is told from outside, typed, and checked before it starts."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from urllib.parse import urlsplit

from .environment import Environment, SettingsError
from .naming import default_name

MIN_SECRET_BYTES = 32
_NODE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")
_COOKIE_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}\Z")


class StoreKind(Enum):
    """Where sessions live."""

    MEMORY = "memory"
    """In each worker's own memory: what breaks as soon as there are two."""
    REDIS = "redis"
    """In Redis or Valkey, shared by all nodes."""


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
    session_name: str = "session"  # SESSION_NAME
    idle_timeout: float = 1800.0  # SESSION_IDLE_TIMEOUT
    absolute_timeout: float = 28800.0  # SESSION_ABSOLUTE_TIMEOUT
    secure: str = "auto"  # SESSION_SECURE
    rolling: bool = False  # SESSION_ROLLING
    resave: bool = False  # SESSION_RESAVE
    save_uninitialized: bool = False  # SESSION_SAVE_UNINITIALIZED
    max_bytes: int = 65536  # SESSION_MAX_BYTES
    connect_timeout: float = 0.25  # STORE_CONNECT_TIMEOUT
    read_timeout: float = 0.25  # STORE_READ_TIMEOUT
    retries: int = 1  # STORE_RETRIES
    deadline: float = 1.0  # STORE_DEADLINE
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
        return cls(
            node_name=_matching("NODE_NAME", env.text("NODE_NAME") or name(), _NODE_NAME),
            secrets=_secrets(env),
            users_file=users_file,
            bind=_bind(env.text("NODE_BIND") or cls.bind),
            workers=env.whole("NODE_WORKERS", cls.workers, 1, 64),
            store=store,
            redis_url=_redis_url(env) if store is StoreKind.REDIS else None,
            session_name=_matching("SESSION_NAME", env.text("SESSION_NAME") or cls.session_name, _COOKIE_NAME),
            idle_timeout=idle,
            absolute_timeout=absolute,
            secure=env.choice("SESSION_SECURE", cls.secure, ["auto", "on", "off"]),
            rolling=env.switch("SESSION_ROLLING", cls.rolling),
            resave=env.switch("SESSION_RESAVE", cls.resave),
            save_uninitialized=env.switch("SESSION_SAVE_UNINITIALIZED", cls.save_uninitialized),
            max_bytes=env.whole("SESSION_MAX_BYTES", cls.max_bytes, 1024, 16 * 1024 * 1024),
            connect_timeout=env.seconds("STORE_CONNECT_TIMEOUT", cls.connect_timeout, 0.01, 60),
            read_timeout=env.seconds("STORE_READ_TIMEOUT", cls.read_timeout, 0.01, 60),
            retries=env.whole("STORE_RETRIES", cls.retries, 0, 10),
            deadline=env.seconds("STORE_DEADLINE", cls.deadline, 0.01, 60),
            trusted_proxies=env.whole("TRUSTED_PROXIES", cls.trusted_proxies, 0, 10),
            log_level=env.choice("LOG_LEVEL", cls.log_level, ["debug", "info", "warning", "error"]),
        )

    def budgets(self) -> dict[str, float]:
        """How long a request may wait for the store; printed once when the node starts."""
        return {
            "connect_timeout": self.connect_timeout,
            "read_timeout": self.read_timeout,
            "retries": self.retries,
            "deadline": self.deadline,
        }


def _matching(name: str, value: str, pattern: re.Pattern[str]) -> str:
    if not pattern.match(value):
        longest = 63 if pattern is _NODE_NAME else 64
        raise SettingsError(f"{name}={value!r}: use 1 to {longest} letters, digits, '-', '_' or '.'")
    if value.lower().startswith(("__host-", "__secure-")):
        raise SettingsError(f"{name}={value}: leave the prefix out; it is added where the connection is TLS")
    return value


def _secrets(env: Environment) -> tuple[str, ...]:
    value, source = env.secret("SESSION_SECRETS")
    make = "make one with `openssl rand -hex 32`"
    separator = "\n" if source.endswith("_FILE") else ","
    secrets = tuple(secret for part in (value or "").split(separator) if (secret := part.strip()))
    if not secrets:
        raise SettingsError(f"{source} is {'empty' if value or separator != ',' else 'not set'}: {make}")
    for position, secret in enumerate(secrets, start=1):
        if len(secret.encode()) < MIN_SECRET_BYTES:
            raise SettingsError(
                f"{source}: secret {position} has {len(secret.encode())} bytes, at least {MIN_SECRET_BYTES} are needed:"
                f" {make}"
            )
    return secrets


def _redis_url(env: Environment) -> str:
    """The URL, whose password no message repeats."""
    url, source = env.secret("REDIS_URL")
    if url is None:
        raise SettingsError("REDIS_URL is not set, and SESSION_STORE=redis needs it: redis://user:password@host:6379/0")
    try:
        parts = urlsplit(url)
        valid = parts.scheme == "unix" or (parts.scheme in {"redis", "rediss"} and bool(parts.hostname))
        valid = valid and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise SettingsError(
            f"{source}={_masked(url)}: use redis://, rediss:// (TLS) or unix://, as redis://host:6379/0"
        )
    return url


def _masked(url: str) -> str:
    return f"***{url[url.rindex('@') :]}" if "@" in url else url


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
