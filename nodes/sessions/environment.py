"""Store and options from environment variables, for `Sessions.from_environment`.

The variables are those of docs/settings.md, so that one environment serves an application anywhere: on the nodes of a
Session Cluster, under another server, or on a developer's machine, where without any of them sessions are in memory.
An empty variable counts as unset, because compose files pass empty ones.
"""

from __future__ import annotations

import hmac
import logging
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from . import extras
from .checks import OptionsError
from .options import Resave, SessionLimit
from .store import Budgets, Store
from .stores.memory import MemoryStore

log = logging.getLogger(__package__)

_STORES = ("memory", "file", "sql", "redis")
_SWITCH = {"on": True, "true": True, "1": True, "yes": True, "off": False, "false": False, "0": False, "no": False}


def _switch(text: str) -> bool:
    return _SWITCH[text.lower()]


def _or_none(text: str) -> int | None:
    return int(text) or None


_OPTIONS: dict[str, tuple[str, Callable[[str], Any], str]] = {
    "SESSION_NAME": ("name", str, "a name"),
    "SESSION_IDLE_TIMEOUT": ("idle_timeout", float, "a number of seconds"),
    "SESSION_ABSOLUTE_TIMEOUT": ("absolute_timeout", float, "a number of seconds"),
    "SESSION_SECURE": ("secure", str, "auto, on or off"),
    "SESSION_HTTP_ONLY": ("http_only", _switch, "on or off"),
    "SESSION_SAME_SITE": ("same_site", str, "lax, strict, none or auto"),
    "SESSION_MAX_AGE": ("max_age", _or_none, "a whole number of seconds"),
    "SESSION_ROLLING": ("rolling", _switch, "on or off"),
    "SESSION_RESAVE": ("resave", lambda text: Resave.ALWAYS if _switch(text) else Resave.NEVER, "on or off"),
    "SESSION_SAVE_UNINITIALIZED": ("save_uninitialized", _switch, "on or off"),
    "SESSION_MAX_BYTES": ("max_bytes", int, "a whole number"),
    "SESSION_MAX_PER_USER": ("max_sessions", _or_none, "a whole number"),
    "SESSION_LIMIT": ("session_limit", lambda text: SessionLimit[text.upper()], "end_oldest or refuse"),
    "SESSION_ANONYMOUS_RATE": ("anonymous_rate", _or_none, "a whole number"),
    "SESSION_ANONYMOUS_PERCENT": ("anonymous_share", lambda text: int(text) / 100, "a whole number"),
}
_BUDGETS: dict[str, tuple[str, Callable[[str], Any], str]] = {
    "STORE_CONNECT_TIMEOUT": ("connect_timeout", float, "a number of seconds"),
    "STORE_READ_TIMEOUT": ("read_timeout", float, "a number of seconds"),
    "STORE_RETRIES": ("retries", int, "a whole number"),
    "STORE_DEADLINE": ("deadline", float, "a number of seconds"),
}
_OUTAGE: dict[str, tuple[str, Callable[[str], Any], str]] = {
    "STORE_WAIT_SECONDS": ("seconds", float, "a number of seconds"),
    "STORE_WAITING": ("max_waiting", int, "a whole number"),
}

_SECRETS = ("SESSION_SECRETS", "SESSION_ENCRYPTION_KEYS", "REDIS_URL", "DATABASE_URL")
_KNOWN = {
    *(*_OPTIONS, *_BUDGETS, *_OUTAGE, *_SECRETS, *(f"{name}_FILE" for name in _SECRETS)),
    *("SESSION_STORE", "SESSION_FOLDER", "SESSION_ENCRYPTION", "STORE_NAMESPACE"),
    *("STORE_OUTAGE", "STORE_DURABILITY", "STORE_REPLICAS"),
}
_OF_OTHERS = {"SESSION_MANAGER", "SESSION_LOAD_SETTINGS", "SESSION_SWEEP_SECONDS"}
"""The desktop's, and two of a Session Cluster, of which one may have been started in this environment."""
_NODE = "NODE_APP"
"""Set on a node, which itself warns of all variables that have no effect."""


def list_unknown(names: Iterable[str], known: Collection[str], prefixes: tuple[str, ...]) -> Iterator[str]:
    """Yield a line for each variable that is probably a misspelt one of `known`, because it has no effect."""
    for name in sorted(set(names).difference(known)):
        near = get_close_matches(name, sorted(known), n=1, cutoff=0.85)
        if near or name.startswith(prefixes):
            yield f"{name} is not a setting, and has no effect" + (f"; did you mean {near[0]}?" if near else "")


@contextmanager
def _named(variable: str) -> Iterator[None]:
    """Name the variable in the error of a store that is made with its value."""
    try:
        yield
    except OptionsError:
        raise
    except ValueError as error:
        raise OptionsError(f"{variable}: {error}") from None


class EnvironmentReader:
    """Makes the store and reads the options of one environment. Raises OptionsError, one line without a secret."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def warn_of_unknown(self) -> None:
        """Log each variable that looks like one of these, and is not."""
        if not self._text(_NODE):
            for line in list_unknown(self._environ.keys() - _OF_OTHERS, _KNOWN, ("SESSION_", "STORE_")):
                log.warning("%s", line)

    def options(self) -> dict[str, Any]:
        """Return the options of the variables that are set, by name."""
        found = self._read(_OPTIONS)
        if secrets := self._secrets("SESSION_SECRETS"):
            found["secrets"] = tuple(secrets)
        return found

    @contextmanager
    def named_options(self, given: Collection[str]) -> Iterator[None]:
        """Name the variables whose options an error begins with, unless these were `given` in place of them."""
        try:
            yield
        except OptionsError as error:
            names = set(re.split(r"\W+", str(error).partition(" must ")[0])).difference(given)
            about = [each for each, (name, _, _) in _OPTIONS.items() if name in names and self._text(each) is not None]
            if not about:
                raise
            raise OptionsError(f"{', '.join(about)}: {error}") from None

    def secret_keys(self) -> list[str]:
        """Return a `SECRET_KEY` for each of SESSION_SECRETS, for what else an application signs."""
        secrets = self._secrets("SESSION_SECRETS")
        return [hmac.digest(each.encode(), b"session-cluster SECRET_KEY v1", "sha256").hex() for each in secrets]

    def store(self) -> Store:
        """Return the store, which connects when it is first used."""
        store = self._plain_store()
        keys = self._secrets("SESSION_ENCRYPTION_KEYS")
        if not keys:
            return store
        with extras.named("SESSION_ENCRYPTION_KEYS"):
            from .encryption import EncryptedStore, Encryption

        try:
            in_bytes = tuple(map(bytes.fromhex, keys))
        except ValueError:
            raise OptionsError("SESSION_ENCRYPTION_KEYS must be 64 hexadecimal digits each") from None
        encryption = self._choice("SESSION_ENCRYPTION", Encryption, Encryption.REQUIRE)
        with _named("SESSION_ENCRYPTION_KEYS"):
            return EncryptedStore(store, in_bytes, encryption)

    def _plain_store(self) -> Store:
        kind = self._text("SESSION_STORE")
        if kind is None:
            log.warning("sessions are in this process's memory: set SESSION_STORE to one of %s", ", ".join(_STORES))
        namespace = self._text("STORE_NAMESPACE")
        with _named("STORE_CONNECT_TIMEOUT, STORE_READ_TIMEOUT, STORE_RETRIES, STORE_DEADLINE"):
            budgets = Budgets(**self._read(_BUDGETS))
        match (kind or "memory").lower():
            case "memory":
                return MemoryStore()
            case "file":
                with extras.named("SESSION_STORE=file"):
                    from .stores.file import FileStore

                return FileStore(Path(self._required("SESSION_FOLDER")), lock_timeout=budgets.deadline)
            case "sql":
                with extras.named("SESSION_STORE=sql"):
                    from .stores.sql import SqlStore

                table = f"{namespace}_sessions" if namespace else "sessions"
                with _named("DATABASE_URL"):
                    return SqlStore.from_url(self._required("DATABASE_URL"), budgets, table)
            case "redis":
                return self._redis_store(budgets, f"{namespace}:session:" if namespace else "session:")
        raise OptionsError(f"SESSION_STORE must be one of {', '.join(_STORES)} here, not {kind}")

    def _redis_store(self, budgets: Budgets, prefix: str) -> Store:
        with extras.named("SESSION_STORE=redis"):
            from .stores.redis import Durability, Outage, OutagePolicy, RedisStore

        policy = OutagePolicy(self._choice("STORE_OUTAGE", Outage, Outage.FAIL_FAST), **self._read(_OUTAGE))
        durability = self._choice("STORE_DURABILITY", Durability, Durability.PRIMARY)
        replicas = self._read({"STORE_REPLICAS": ("replicas", int, "a whole number")}).get("replicas", 0)
        with _named("REDIS_URL"):
            return RedisStore.from_url(self._required("REDIS_URL"), budgets, prefix, durability, replicas, policy)

    def _read(self, variables: Mapping[str, tuple[str, Callable[[str], Any], str]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for variable, (name, read, expected) in variables.items():
            if (text := self._text(variable)) is not None:
                try:
                    found[name] = read(text)
                except (ValueError, KeyError):
                    raise OptionsError(f"{variable} must be {expected}, not {text}") from None
        return found

    def _choice(self, variable: str, kind: Any, default: Any) -> Any:
        text = self._text(variable)
        try:
            return default if text is None else kind(text.lower())
        except ValueError:
            raise OptionsError(f"{variable} must be one of {', '.join(m.value for m in kind)}, not {text}") from None

    def _required(self, variable: str) -> str:
        text = self._secret(variable)
        if text is None:
            raise OptionsError(f"{variable} is not set, and SESSION_STORE={self._text('SESSION_STORE')} needs it")
        return text

    def _secrets(self, variable: str) -> list[str]:
        separator = "," if self._text(variable) is not None else "\n"
        return [part.strip() for part in (self._secret(variable) or "").split(separator) if part.strip()]

    def _secret(self, variable: str) -> str | None:
        """Return the variable, or what is in the file that `variable`_FILE names."""
        path = self._text(f"{variable}_FILE")
        if path is None:
            return self._text(variable)
        if self._text(variable) is not None:
            raise OptionsError(f"{variable} and {variable}_FILE are both set: drop one of them")
        try:
            return Path(path).read_text(encoding="utf-8").strip() or None
        except (OSError, UnicodeDecodeError) as error:
            raise OptionsError(f"cannot read {variable}_FILE={path}: {error}") from None

    def _text(self, variable: str) -> str | None:
        return self._environ.get(variable, "").strip() or None
