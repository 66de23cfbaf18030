"""Flask's configuration keys as options: where the application set another value than Flask's default, it counts.

    option that was given > configuration key that differs from Flask's default > our own default

`SESSION_COOKIE_SECURE` means that every request came over TLS, as in Flask, which sends such a cookie whatever the
server saw: applications behind a proxy that terminates TLS set it.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from .checks import OptionsError, check_type
from .options import MIN_SECRET_BYTES, Secure, SessionOptions, TrustProxy, to_secrets
from .store import LONGEST

log = logging.getLogger(__package__)

_KEYS = (
    "SECRET_KEY",
    "SESSION_COOKIE_NAME",
    "SESSION_COOKIE_DOMAIN",
    "SESSION_COOKIE_PATH",
    "SESSION_COOKIE_HTTPONLY",
    "SESSION_COOKIE_SECURE",
    "SESSION_COOKIE_PARTITIONED",
    "SESSION_COOKIE_SAMESITE",
    "SESSION_REFRESH_EACH_REQUEST",
    "PERMANENT_SESSION_LIFETIME",
    "APPLICATION_ROOT",
)
_PREFIXES = ("__host-", "__secure-")


def snapshot(config: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the values that `from_config` reads. Options are made again only where they changed."""
    return (*map(config.get, _KEYS), *(config.get("SECRET_KEY_FALLBACKS") or ()))


def from_config(options: SessionOptions, config: Mapping[str, Any]) -> SessionOptions | None:
    """Return `options` with those of the configuration that were not given. None without any secret.

    Raises OptionsError or TypeError for a value that can't be right.
    """
    found = {name: value for name, value in _read(config).items() if name not in options.given}
    if "secrets" not in options.given and not found.get("secrets"):
        return None
    try:
        return replace(options, **found)
    except (OptionsError, TypeError) as error:
        option = re.split(r"\W", str(error), maxsplit=1)[0]
        if option not in found:
            raise
        raise type(error)(f"{_key_of(option, config)}: {error}") from None


def _key_of(option: str, config: Mapping[str, Any]) -> str:
    """Return the key of the configuration that gave the option."""
    if option == "path" and not config.get("SESSION_COOKIE_PATH"):
        return "APPLICATION_ROOT"
    if option == "permanent_lifetime":
        return "PERMANENT_SESSION_LIFETIME"
    return f"SESSION_COOKIE_{option.replace('_', '').upper()}"


def _read(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return options by name, for each key that has another value than Flask's default."""
    found: dict[str, Any] = {
        "secrets": _secrets(config),
        "permanent_lifetime": _seconds(config.get("PERMANENT_SESSION_LIFETIME", timedelta(days=31))),
    }
    name = config.get("SESSION_COOKIE_NAME") or "session"
    if name != "session":
        check_type("SESSION_COOKIE_NAME", name, str, "a str")
        found["name"] = next((name[len(each) :] for each in _PREFIXES if name.lower().startswith(each)), name)
    if domain := config.get("SESSION_COOKIE_DOMAIN"):
        check_type("SESSION_COOKIE_DOMAIN", domain, str, "a str or None")
        found["domain"] = domain.partition(":")[0]
    if (path := config.get("SESSION_COOKIE_PATH") or config.get("APPLICATION_ROOT") or "/") != "/":
        found["path"] = path
    if not config.get("SESSION_COOKIE_HTTPONLY", True):
        found["http_only"] = False
    if not config.get("SESSION_REFRESH_EACH_REQUEST", True):
        found["refresh"] = False
    if config.get("SESSION_COOKIE_PARTITIONED"):
        found |= {"partitioned": True, "proxy": TrustProxy.TLS}
    if config.get("SESSION_COOKIE_SECURE"):
        found |= {"secure": Secure.ON, "proxy": TrustProxy.TLS}
    if same_site := config.get("SESSION_COOKIE_SAMESITE"):
        found["same_site"] = same_site
    return found


def _secrets(config: Mapping[str, Any]) -> tuple[bytes, ...]:
    key, fallbacks = config.get("SECRET_KEY"), config.get("SECRET_KEY_FALLBACKS") or ()
    if not key:
        return ()
    found: list[bytes] = []
    for name, value in (("SECRET_KEY", key), ("SECRET_KEY_FALLBACKS", fallbacks)):
        secrets = to_secrets(name, value)
        if (shortest := min(map(len, secrets), default=MIN_SECRET_BYTES)) < MIN_SECRET_BYTES:
            log.warning(
                "%s has %d bytes, and less than %d can be guessed: use the output of `openssl rand -hex 32`",
                name,
                shortest,
                MIN_SECRET_BYTES,
            )
        found += map(_lengthen, secrets)
    return tuple(found)


def _lengthen(secret: bytes) -> bytes:
    """Return a key of the HMAC that is long enough for the options. It is not harder to guess than `secret`."""
    return secret if len(secret) >= MIN_SECRET_BYTES else hashlib.sha256(secret).hexdigest().encode()


def _seconds(lifetime: Any) -> float:
    if isinstance(lifetime, timedelta):
        lifetime = lifetime.total_seconds()
    check_type("PERMANENT_SESSION_LIFETIME", lifetime, (int, float), "a timedelta or a number of seconds")
    if not lifetime <= LONGEST:
        raise OptionsError(f"PERMANENT_SESSION_LIFETIME must be at most 100 years, not {lifetime!r} s")
    return max(float(lifetime), 0.001)
