# ruff: noqa: RUF009 - what the functions return is dataclasses.field
"""Settings of a node. Each field of `Settings` names its environment variable, default, range and meaning.

`python -m nodes.settings` prints them as the table of docs/settings.md. gunicorn's main process reads the settings
before gevent patches anything, so this module imports nothing that opens sockets.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from .environment import Environment, Setting, SettingsError, choice, seconds, setting, switch, whole
from .sessions import environment
from .store_kinds import SessionStoreKind, SessionStoreSettings

MIN_SECRET_BYTES = 32
_YEAR = 365 * 86400
_APPLICATION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_].*\Z")
_NODE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")
_COOKIE_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}\Z")
_PREFIXES = ("SESSION_", "STORE_", "LOGIN_")
# The desktop's, the load generator's, and the number of a worker that another node has started.
_OTHER_VARIABLES = re.compile(r"SESSION_MANAGER|SESSION_LOAD_SETTINGS|NODE_WORKER")
_MAKE_SECRET = "make one with `openssl rand -hex 32`"  # noqa: S105 - no secret


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
    for position, each in enumerate(texts, start=1):
        if not re.fullmatch(r"[0-9A-Fa-f]{64}", each):
            raise SettingsError(f"{source}: key {position} must be 64 hexadecimal digits; {_MAKE_SECRET}")
    return tuple(map(bytes.fromhex, texts))


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


@dataclass(frozen=True, kw_only=True)
class Settings(SessionStoreSettings):
    """A node's settings. Times are seconds."""

    node_name: str = setting(
        "NODE_NAME", MISSING, "1 to 63 letters, digits, `-`, `_`, `.`", "The node's name, sent in `X-Served-By`.",
        lambda env: env.text("NODE_NAME"), shown="`node-2` in a replica of compose, else the host name",
    )  # fmt: skip
    bind: str = setting("NODE_BIND", "127.0.0.1:8000", "`host:port`, `unix:/path`", "Where the node listens.", _bind)
    application: str = setting(
        "NODE_APP", "", "`module:name`, `module:function()`",
        "Another WSGI application to serve in place of the shop, see [your-application.md](your-application.md).",
        _application, shown="",
    )  # fmt: skip
    application_folder: Path | None = setting(
        "NODE_APP_FOLDER", None, "a path",
        "The folder of that application; its packages may be in the folder `packages` there.",
        lambda env: Path(folder) if (folder := env.text("NODE_APP_FOLDER")) else None,
        shown="the current folder",
    )  # fmt: skip
    workers: int = whole(
        "NODE_WORKERS", 1, 1, 64, "gunicorn workers; with the memory store each has sessions of its own."
    )
    encryption_keys: tuple[bytes, ...] = setting(
        "SESSION_ENCRYPTION_KEYS", (), "64 hexadecimal digits each",
        "Encrypt sessions at rest. The first encrypts, all decrypt. Separated by commas, or one a line in the file.",
        _encryption_keys, shown="", is_secret=True,
    )  # fmt: skip
    encryption: str = choice(
        "SESSION_ENCRYPTION", "require write read",
        "With these keys: `require` accepts encrypted sessions only; `write` and `read` accept plain ones, too, and"
        " write encrypted or plain: the steps in which encryption is turned on and off.",
    )  # fmt: skip
    secrets: tuple[str, ...] = setting(
        "SESSION_SECRETS", MISSING, "32 bytes or more each",
        "Sign the cookies. The first secret signs, all verify. Separated by commas, or one a line in the file.",
        _session_secrets, shown="required", is_secret=True,
    )  # fmt: skip
    session_name: str = setting(
        "SESSION_NAME", "session", "1 to 64 characters of a cookie's name",
        "The cookie's name. Over TLS `__Host-` stands before it, except with express.",
        lambda env: env.text("SESSION_NAME"), shown="`session`; express: `connect.sid`",
    )  # fmt: skip
    idle_timeout: float = seconds("SESSION_IDLE_TIMEOUT", 1800, 1, _YEAR, "Without use for this long, a session ends.")
    absolute_timeout: float = seconds("SESSION_ABSOLUTE_TIMEOUT", 28800, 1, _YEAR, "A session ends after this long.")
    secure: str = choice("SESSION_SECURE", "auto on off", "The cookie's Secure; `auto`: over TLS.")
    http_only: bool = switch("SESSION_HTTP_ONLY", True, "Keep the cookie from scripts on the page.")
    same_site: str = choice(
        "SESSION_SAME_SITE", "lax strict none auto",
        "Which requests from other sites carry the cookie; `auto`: none over TLS, else lax.",
    )  # fmt: skip
    max_age: int | None = whole(
        "SESSION_MAX_AGE", None, 0, _YEAR, "Seconds that the browser keeps the cookie; 0: until it closes."
    )
    rolling: bool = switch(
        "SESSION_ROLLING", False,
        "Send the cookie with every response, except for `/live`, `/ready`, `/metrics` and static files.",
    )  # fmt: skip
    resave: bool = switch(
        "SESSION_RESAVE", False, "Write back what was read, changed or not, with the exceptions of `SESSION_ROLLING`."
    )
    save_uninitialized: bool = switch(
        "SESSION_SAVE_UNINITIALIZED", False, "Give every visitor a session, with the exceptions of `SESSION_ROLLING`."
    )
    max_sessions: int | None = whole(
        "SESSION_MAX_PER_USER", None, 0, 100_000, "The most sessions that a user has; 0: no limit."
    )
    session_limit: str = choice(
        "SESSION_LIMIT", "end_oldest refuse", "At the limit a login ends the user's oldest session, or is refused."
    )
    anonymous_rate: int = whole(
        "SESSION_ANONYMOUS_RATE", 20, 0, 100_000,
        "The most sessions without a login that clients at one address start each second, for each worker, and five"
        " seconds' worth at once; 0: no limit.",
    )  # fmt: skip
    anonymous_percent: int = whole(
        "SESSION_ANONYMOUS_PERCENT", 80, 1, 100,
        "For redis, express and memory: no session without a login is started when more of the store's memory is used;"
        " 100: no bound.",
    )  # fmt: skip
    login_attempts: int = whole(
        "LOGIN_ATTEMPTS", 10, 0, 1000,
        "Wrong passwords that one address may send for one user within the window, over all nodes, and ten times as"
        " many for all users; a browser that the user has logged in with is counted by itself instead. 0: no limit.",
    )  # fmt: skip
    login_window: float = seconds("LOGIN_WINDOW", 900, 1, 86400, "The window of `LOGIN_ATTEMPTS`.")
    sweep_seconds: float = seconds(
        "SESSION_SWEEP_SECONDS", 60, 0, 86400,
        "For file and sql: time between two sweeps of expired sessions by each node; 0: none, call `sweep` yourself.",
    )  # fmt: skip
    users_file: Path | None = setting(
        "USERS_FILE", None, "a path",
        "Users to start with, in JSON: each name and its Argon2id hash, made by `python -m nodes.accounts make`."
        " Changes are kept in the store, which counts before the file.",
        lambda env: env.file("USERS_FILE"), shown="",
    )  # fmt: skip
    trusted_proxies: int = whole(
        "TRUSTED_PROXIES", 1, 0, 10, "How many proxies stand in front, for X-Forwarded-For, -Proto and -Host."
    )
    log_level: str = choice("LOG_LEVEL", "info debug warning error", "The least severe messages that are logged.")

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
        if "node_name" not in values:
            values["node_name"] = default_name()
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
        self.check_store()
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
    """Return a line for each variable that is probably a misspelt setting, because it has no effect."""
    settings: list[tuple[str, bool]] = [(each.metadata[""].variable, each.repr) for each in fields(Settings)]
    known = {name for name, _ in settings} | {f"{name}_FILE" for name, is_shown in settings if not is_shown}
    names = (name for name in environ if not _OTHER_VARIABLES.fullmatch(name))
    return environment.list_unknown(names, known, _PREFIXES)


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
