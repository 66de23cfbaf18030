# ruff: noqa: RUF009 - what the functions return is dataclasses.field
"""Settings of a node. Each field of `Settings` names its environment variable, default, range and meaning.

`python -m nodes.settings` prints them as the table of docs/settings.md. gunicorn's main process reads the settings
before gevent patches anything, so this module imports nothing that opens sockets.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import Enum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .environment import Environment, SettingsError, did_you_mean

MIN_SECRET_BYTES = 32
_YEAR = 365 * 86400
_NAMESPACE = re.compile(r"[a-z][a-z0-9_]{0,30}\Z")
_APPLICATION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_].*\Z")
_NODE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")
_COOKIE_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}\Z")
_DATABASES = ("sqlite://", "mysql://", "mariadb://", "postgresql://")
# Only a first check of the URL: the store parses it in full.
_SEVERAL_SERVERS = re.compile(r"rediss?\+(?:sentinel://[^/?#]+/[^/?#]+|cluster://[^/?#]+)")
_PREFIXES = ("SESSION_", "STORE_", "LOGIN_")
# The desktop's, the load generator's, and the number of a worker that another node has started.
_OTHER_VARIABLES = re.compile(r"SESSION_MANAGER|SESSION_LOAD_SETTINGS|NODE_WORKER")
_MAKE_SECRET = "make one with `openssl rand -hex 32`"  # noqa: S105 - no secret


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


@dataclass(frozen=True)
class Setting:
    """One row of the table: an environment variable, and how it is read."""

    variable: str
    values: str
    """The values that it takes, for the documentation."""
    help: str
    read: Callable[[Environment], Any]
    """Returns None where the variable is unset and the default holds."""
    default: str
    """For the documentation."""
    stores: tuple[SessionStoreKind, ...] = ()
    """Read for these stores only; for all where it is empty."""
    example: str = ""
    """What to set, in the error for a value that is required and not set. Empty where none is required."""

    def from_environment(self, env: Environment) -> Any:
        """Return the value, or None where the default holds. Raises SettingsError."""
        value = self.read(env)
        if value is None and self.example:
            kinds = " or ".join(kind.value for kind in self.stores)
            needed = f", and SESSION_STORE={kinds} needs it" if kinds else ""
            raise SettingsError(f"{self.variable} is not set{needed}: {self.example}")
        return value


def _setting(
    variable: str,
    default: Any,
    values: str,
    help_: str,
    read: Callable[[Environment], Any],
    *,
    stores: tuple[SessionStoreKind, ...] = (),
    example: str = "",
    shown: str | None = None,
    is_secret: bool = False,
) -> Any:
    """Return a dataclass field of this setting; `shown` is its default in the documentation."""
    if shown is None:
        shown = f"`{default}`" if isinstance(default, str) else f"{default:g}"
    setting = Setting(variable, values, help_, read, shown, stores, example)
    return field(default=default, repr=not is_secret, metadata={"": setting})


def _whole(variable: str, default: int | None, low: int, high: int, help_: str) -> Any:
    """Return the field of a whole number; 0 stands for a default of None."""
    number = default or 0

    def read(env: Environment) -> int | None:
        value = env.whole(variable, number, low, high)
        return None if default is None and value == 0 else value

    return _setting(variable, default, f"{low} to {high}", help_, read, shown=str(number))


def _seconds(variable: str, default: float, low: float, high: float, help_: str) -> Any:
    read: Callable[[Environment], float] = lambda env: env.seconds(variable, default, low, high)  # noqa: E731
    return _setting(variable, default, f"{low:g} to {high} s", help_, read)


def _switch(variable: str, default: bool, help_: str) -> Any:
    shown = "on" if default else "off"
    return _setting(variable, default, "on, off", help_, lambda env: env.switch(variable, default), shown=shown)


def _choice(variable: str, choices: str, help_: str, make: Callable[[str], Any] = str) -> Any:
    """Return the field of a choice, which `make` converts; the first word is the default."""
    words = choices.split()
    values = ", ".join(f"`{word}`" for word in words)
    return _setting(
        variable, make(words[0]), values, help_, lambda env: make(env.choice(variable, words[0], words)),
        shown=f"`{words[0]}`",
    )  # fmt: skip


def _text(variable: str, default: Any, values: str, help_: str, shown: str, **more: Any) -> Any:
    return _setting(variable, default, values, help_, lambda env: env.text(variable), shown=shown, **more)


def _session_secrets(env: Environment) -> tuple[str, ...]:
    secrets, source = env.secrets("SESSION_SECRETS")
    if not secrets:
        state = "empty" if env.text("SESSION_SECRETS") else "not set"
        raise SettingsError(f"{source} is {state}: {_MAKE_SECRET}")
    for position, secret in enumerate(secrets, start=1):
        if (size := len(secret.encode())) < MIN_SECRET_BYTES:
            raise SettingsError(
                f"{source}: secret {position} must have at least {MIN_SECRET_BYTES} bytes, not {size}; {_MAKE_SECRET}"
            )
    return secrets


def _encryption_keys(env: Environment) -> tuple[bytes, ...]:
    texts, source = env.secrets("SESSION_ENCRYPTION_KEYS")
    if not texts and env.text(source):
        raise SettingsError(f"{source} is empty: {_MAKE_SECRET}")
    for position, text in enumerate(texts, start=1):
        if not re.fullmatch(r"[0-9A-Fa-f]{64}", text):
            raise SettingsError(f"{source}: key {position} must be 64 hexadecimal digits; {_MAKE_SECRET}")
    return tuple(bytes.fromhex(text) for text in texts)


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
    try:
        valid = parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise SettingsError(f"{source}={_without_password(url)}: the port must be a whole number from 1 to 65535")
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


def _bind(env: Environment) -> str | None:
    value = env.text("NODE_BIND")
    if value is None or value.startswith("unix:"):
        return value
    host, colon, port = value.rpartition(":")
    try:
        valid = bool(host and colon) and port.isdecimal() and int(port) <= 65535
        if valid and ":" in host:
            socket.inet_pton(socket.AF_INET6, host.strip("[]"))
    except OSError:
        valid = False
    if not valid:
        raise SettingsError(f"NODE_BIND must be host:port with a port up to 65535, or unix:/path, not {value}")
    return value


def _application(env: Environment) -> str | None:
    value = env.text("NODE_APP")
    if value is not None and not _APPLICATION.match(value):
        raise SettingsError(f"NODE_APP must be module:name or module:function(), not {value}")
    return value


_REDIS = (SessionStoreKind.REDIS, SessionStoreKind.EXPRESS)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A node's settings. Times are seconds."""

    node_name: str = _text(
        "NODE_NAME", MISSING, "1 to 63 letters, digits, `-`, `_`, `.`", "The node's name, sent in `X-Served-By`.",
        shown="`node-2` in a replica of compose, else the host name",
    )  # fmt: skip
    bind: str = _setting("NODE_BIND", "127.0.0.1:8000", "`host:port`, `unix:/path`", "Where the node listens.", _bind)
    application: str = _setting(
        "NODE_APP", "", "`module:name`, `module:function()`",
        "Another WSGI application to serve in place of the shop, see [your-application.md](your-application.md).",
        _application, shown="",
    )  # fmt: skip
    application_folder: Path | None = _setting(
        "NODE_APP_FOLDER", None, "a path",
        "The folder of that application; its packages may be in the folder `packages` there.",
        lambda env: Path(folder) if (folder := env.text("NODE_APP_FOLDER")) else None,
        shown="the current folder",
    )  # fmt: skip
    workers: int = _whole(
        "NODE_WORKERS", 1, 1, 64, "gunicorn workers; with the memory store each has sessions of its own."
    )
    store: SessionStoreKind = _choice(
        "SESSION_STORE", "memory file sql redis express",
        "Where sessions live; `express` shares them with a Node application, see [express.md](express.md).",
        SessionStoreKind,
    )  # fmt: skip
    redis_url: str | None = _setting(
        "REDIS_URL", None, "`redis://user:password@host:port/0`, `rediss://` (TLS), `unix://`,"
        " `redis+sentinel://user:password@h1:26379,h2,h3/NAME?sentinel_username=…&sentinel_password=…`;"
        " for redis also `redis+cluster://user:password@h1:6379,h2,h3`",
        "The store's servers, see [redis.md](redis.md).", _redis_url, stores=_REDIS,
        example="redis://user:password@host:6379/0", shown="", is_secret=True,
    )  # fmt: skip
    database_url: str | None = _setting(
        "DATABASE_URL", None, "`sqlite:////path`, `mysql://`, `mariadb://`, `postgresql://user:password@host/database`",
        "The store's database, see [sql.md](sql.md).", _database_url, stores=(SessionStoreKind.SQL,),
        example="postgresql://user:password@host/db", shown="", is_secret=True,
    )  # fmt: skip
    create_schema: bool = _switch(
        "DATABASE_CREATE_SCHEMA", False,
        "Create missing tables when the node starts. Else `python -m nodes.stores` does, or your migrations.",
    )  # fmt: skip
    folder: Path | None = _setting(
        "SESSION_FOLDER", None, "a path", "The folder of the sessions, on a disk that all nodes share.",
        lambda env: Path(folder) if (folder := env.text("SESSION_FOLDER")) else None,
        stores=(SessionStoreKind.FILE,), example="a folder that belongs to this node's user", shown="",
    )  # fmt: skip
    namespace: str = _setting(
        "STORE_NAMESPACE", "", "1 to 31 lower-case letters, digits, `_`",
        "For redis, express and sql: what the names of this application's keys or tables begin with, so that several"
        " applications can use one store.",
        _namespace, shown="",
    )  # fmt: skip
    durability: str = _choice(
        "STORE_DURABILITY", "primary revocations every_write",
        "For redis: acknowledge a write when the primary has it; or wait for replicas with logouts, or every write.",
    )  # fmt: skip
    replicas: int = _whole("STORE_REPLICAS", 0, 0, 100, "How many replicas `STORE_DURABILITY` waits for.")
    encryption_keys: tuple[bytes, ...] = _setting(
        "SESSION_ENCRYPTION_KEYS", (), "64 hexadecimal digits each",
        "Encrypt sessions at rest. The first encrypts, all decrypt. Separated by commas, or one a line in the file.",
        _encryption_keys, shown="", is_secret=True,
    )  # fmt: skip
    encryption: str = _choice(
        "SESSION_ENCRYPTION", "require write read",
        "With these keys: `require` accepts encrypted sessions only; `write` and `read` accept plain ones, too, and"
        " write encrypted or plain: the steps in which encryption is turned on and off.",
    )  # fmt: skip
    secrets: tuple[str, ...] = _setting(
        "SESSION_SECRETS", MISSING, "32 bytes or more each",
        "Sign the cookies. The first secret signs, all verify. Separated by commas, or one a line in the file.",
        _session_secrets, shown="required", is_secret=True,
    )  # fmt: skip
    session_name: str = _text(
        "SESSION_NAME", "session", "1 to 64 characters of a cookie's name",
        "The cookie's name. Over TLS `__Host-` stands before it, except with express.",
        "`session`; express: `connect.sid`",
    )  # fmt: skip
    idle_timeout: float = _seconds("SESSION_IDLE_TIMEOUT", 1800, 1, _YEAR, "Without use for this long, a session ends.")
    absolute_timeout: float = _seconds("SESSION_ABSOLUTE_TIMEOUT", 28800, 1, _YEAR, "A session ends after this long.")
    secure: str = _choice("SESSION_SECURE", "auto on off", "The cookie's Secure; `auto`: over TLS.")
    http_only: bool = _switch("SESSION_HTTP_ONLY", True, "Keep the cookie from scripts on the page.")
    same_site: str = _choice(
        "SESSION_SAME_SITE", "lax strict none auto",
        "Which requests from other sites carry the cookie; `auto`: none over TLS, else lax.",
    )  # fmt: skip
    max_age: int | None = _whole(
        "SESSION_MAX_AGE", None, 0, _YEAR, "Seconds that the browser keeps the cookie; 0: until it closes."
    )
    rolling: bool = _switch(
        "SESSION_ROLLING", False,
        "Send the cookie with every response, except for `/live`, `/ready`, `/metrics` and static files.",
    )  # fmt: skip
    resave: bool = _switch(
        "SESSION_RESAVE", False, "Write back what was read, changed or not, with the exceptions of `SESSION_ROLLING`."
    )
    save_uninitialized: bool = _switch(
        "SESSION_SAVE_UNINITIALIZED", False, "Give every visitor a session, with the exceptions of `SESSION_ROLLING`."
    )
    max_bytes: int = _whole(
        "SESSION_MAX_BYTES", 65536, 1024, 16 * 1024 * 1024, "The most bytes that one session holds."
    )
    max_sessions: int | None = _whole(
        "SESSION_MAX_PER_USER", None, 0, 100_000, "The most sessions that a user has; 0: no limit."
    )
    session_limit: str = _choice(
        "SESSION_LIMIT", "end_oldest refuse", "At the limit a login ends the user's oldest session, or is refused."
    )
    anonymous_rate: int = _whole(
        "SESSION_ANONYMOUS_RATE", 20, 0, 100_000,
        "The most sessions without a login that clients at one address start each second, for each worker, and five"
        " seconds' worth at once; 0: no limit.",
    )  # fmt: skip
    anonymous_percent: int = _whole(
        "SESSION_ANONYMOUS_PERCENT", 80, 1, 100,
        "For redis, express and memory: no session without a login is started when more of the store's memory is used;"
        " 100: no bound.",
    )  # fmt: skip
    login_attempts: int = _whole(
        "LOGIN_ATTEMPTS", 10, 0, 1000,
        "Wrong passwords that one address may send for one user within the window, over all nodes, and ten times as"
        " many for all users; a browser that the user has logged in with is counted by itself instead. 0: no limit.",
    )  # fmt: skip
    login_window: float = _seconds("LOGIN_WINDOW", 900, 1, 86400, "The window of `LOGIN_ATTEMPTS`.")
    sweep_seconds: float = _seconds(
        "SESSION_SWEEP_SECONDS", 60, 0, 86400,
        "For file and sql: time between two sweeps of expired sessions by each node; 0: none, call `sweep` yourself.",
    )  # fmt: skip
    connect_timeout: float = _seconds("STORE_CONNECT_TIMEOUT", 0.25, 0.01, 60, "To connect to the store, per attempt.")
    read_timeout: float = _seconds("STORE_READ_TIMEOUT", 0.25, 0.01, 60, "For the store's answer, per attempt.")
    retries: int = _whole(
        "STORE_RETRIES", 1, 0, 10,
        "How often a read is repeated; a write only with several servers or `STORE_OUTAGE=wait`, where it is safe.",
    )  # fmt: skip
    deadline: float = _seconds("STORE_DEADLINE", 1, 0.01, 60, "After this long no further attempt starts.")
    outage: str = _choice(
        "STORE_OUTAGE", "fail_fast wait",
        "For redis and express: without a primary, answer 503 within the budgets above, or hold requests until there is"
        " one.",
    )  # fmt: skip
    wait_seconds: float = _seconds(
        "STORE_WAIT_SECONDS", 10, 0.1, 25, "How long a request is held; keep it below the proxy's read timeout (15 s)."
    )
    waiting: int = _whole("STORE_WAITING", 500, 1, 10_000, "How many requests each worker holds; others fail fast.")
    users_file: Path | None = _setting(
        "USERS_FILE", None, "a path",
        "Users to start with, in JSON: each name and its Argon2id hash, made by `python -m nodes.accounts make`."
        " Changes are kept in the store, which counts before the file.",
        lambda env: env.file("USERS_FILE"), shown="",
    )  # fmt: skip
    trusted_proxies: int = _whole(
        "TRUSTED_PROXIES", 1, 0, 10, "How many proxies stand in front, for X-Forwarded-For, -Proto and -Host."
    )
    log_level: str = _choice("LOG_LEVEL", "info debug warning error", "The least severe messages that are logged.")

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Settings:
        """Read the settings from `environ`. Raises SettingsError."""
        env = Environment(environ)
        values: dict[str, Any] = {}
        for each in fields(cls):
            setting: Setting = each.metadata[""]
            if not setting.stores or values["store"] in setting.stores:
                value = setting.from_environment(env)
                if value is not None:
                    values[each.name] = value
        values.setdefault("node_name", default_name())
        values.setdefault("session_name", "connect.sid" if values["store"] is SessionStoreKind.EXPRESS else "session")
        settings = cls(**values)
        settings._check(env)
        return settings

    def _check(self, env: Environment) -> None:
        """Refuse settings that contradict each other."""
        _check_name("NODE_NAME", self.node_name, _NODE_NAME, 63)
        _check_name("SESSION_NAME", self.session_name, _COOKIE_NAME, 64)
        if self.idle_timeout > self.absolute_timeout:
            raise SettingsError(
                f"SESSION_IDLE_TIMEOUT must be at most SESSION_ABSOLUTE_TIMEOUT, {self.absolute_timeout:g},"
                f" not {self.idle_timeout:g}"
            )
        if self.same_site == "none" and self.secure == "off":
            raise SettingsError("SESSION_SAME_SITE=none: browsers refuse it with SESSION_SECURE=off; use auto or on")
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
        if self.store is SessionStoreKind.EXPRESS and (self.max_sessions or self.encryption_keys):
            name = "SESSION_MAX_PER_USER" if self.max_sessions else "SESSION_ENCRYPTION_KEYS"
            raise SettingsError(f"{name} is set: the Node application that shares the sessions can't follow it")
        if env.text("SESSION_ENCRYPTION") and not self.encryption_keys:
            raise SettingsError(f"SESSION_ENCRYPTION={self.encryption}: it needs SESSION_ENCRYPTION_KEYS")

    def budgets(self) -> dict[str, float | str]:
        """Return the time budgets of requests to the store, for the log."""
        names = ["connect_timeout", "read_timeout", "retries", "deadline", "outage"]
        if self.outage == "wait":
            names += ["wait_seconds", "waiting"]
        return {name: getattr(self, name) for name in names}


def _check_name(variable: str, value: str, pattern: re.Pattern[str], longest: int) -> None:
    if not pattern.match(value):
        raise SettingsError(f"{variable} must be 1 to {longest} letters, digits, '-', '_' or '.', not {value!r}")
    if value.lower().startswith(("__host-", "__secure-")):
        raise SettingsError(f"{variable}={value}: leave the prefix out; it is added where the connection is TLS")


def list_unknown(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for each variable that is probably a misspelt setting, because it has no effect."""
    settings: list[tuple[str, bool]] = [(each.metadata[""].variable, each.repr) for each in fields(Settings)]
    known = {name for name, _ in settings} | {f"{name}_FILE" for name, is_shown in settings if not is_shown}
    for name in sorted(environ.keys() - known):
        if _OTHER_VARIABLES.fullmatch(name):
            continue
        hint = did_you_mean(name, known, cutoff=0.85)
        if hint or name.startswith(_PREFIXES):
            yield f"{name} is not a setting, and has no effect{hint}"


def documentation() -> str:
    """Return the settings as a Markdown table."""
    lines = ["| variable | default | values | meaning |", "|---|---|---|---|"]
    for each in fields(Settings):
        setting: Setting = each.metadata[""]
        variable = f"`{setting.variable}`" if each.repr else f"`{setting.variable}`, `{setting.variable}_FILE`"
        only = f"For {' and '.join(store.value for store in setting.stores)}: " if setting.stores else ""
        meaning = only + (setting.help[:1].lower() + setting.help[1:] if only else setting.help)
        lines.append(f"| {variable} | {setting.default} | {setting.values} | {meaning} |")
    return "\n".join(lines) + "\n"


_ENGINE_DNS = ("127.0.0.11", 53)
_DNS_TIMEOUT = 0.5
_REPLICA = re.compile(r"(?:^|[-_])(node)[-_](\d+)(?:\.|$)")


def _reverse_name() -> str:
    """Return this container's name in the engine's DNS, by its address; empty without one.

    The DNS is asked directly: the system's resolver finds the address in /etc/hosts first, with the host name.
    """
    import dns.exception  # here: it takes a tenth of a second, and only containers need it
    import dns.resolver

    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = [_ENGINE_DNS[0]], _ENGINE_DNS[1]
    try:
        own_address = socket.gethostbyname(socket.gethostname())
        return str(resolver.resolve_address(own_address, lifetime=_DNS_TIMEOUT)[0].target)
    except (dns.exception.DNSException, OSError):
        return ""


def _in_container() -> bool:
    return Path("/.dockerenv").exists() or Path("/run/.containerenv").exists()


def default_name(
    host: Callable[[], str] = socket.gethostname,
    reverse: Callable[[], str] = _reverse_name,
    in_container: Callable[[], bool] = _in_container,
) -> str:
    """Return `node-2` in the second replica of a compose service, the host name elsewhere.

    A compose file can't tell a replica its number, but the engine's DNS knows it: a replica's address resolves to
    `<project>-node-2.<network>`. Outside containers nothing is resolved, because that could take seconds.
    """
    replica = _REPLICA.search(reverse()) if in_container() else None
    return f"node-{replica[2]}" if replica else host()


if __name__ == "__main__":
    print(documentation(), end="")
