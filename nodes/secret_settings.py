"""Settings that hold secrets: checked like all others, and never repeated in a message."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from .environment import Environment, SettingsError

MIN_SECRET_BYTES = 32
# No more than a look: this runs before gevent has patched anything, so it must not import what opens sockets, which the
# session layer does. The store reads the URL as a whole.
_SEVERAL_SERVERS = re.compile(r"rediss?\+(?:sentinel://[^/?#]+/[^/?#]+|cluster://[^/?#]+)")
_DATABASES = ("sqlite", "mysql", "mariadb", "postgresql")


def session_secrets(env: Environment) -> tuple[str, ...]:
    """What signs the cookies; the first signs, all verify."""
    secrets, source, was_given = _several(env, "SESSION_SECRETS")
    make = "make one with `openssl rand -hex 32`"
    if not secrets:
        raise SettingsError(f"{source} is {'empty' if was_given else 'not set'}: {make}")
    for position, secret in enumerate(secrets, start=1):
        if len(secret.encode()) < MIN_SECRET_BYTES:
            raise SettingsError(
                f"{source}: secret {position} has {len(secret.encode())} bytes, at least {MIN_SECRET_BYTES} are needed:"
                f" {make}"
            )
    return secrets


def redis_url(env: Environment) -> str:
    """The URL, whose password no message repeats."""
    url, source = env.secret("REDIS_URL")
    if url is None:
        raise SettingsError(
            "REDIS_URL is not set, and SESSION_STORE=redis or express needs it: redis://user:password@host:6379/0"
        )
    if _SEVERAL_SERVERS.match(url):
        return url
    try:
        parts = urlsplit(url)
        valid = parts.scheme == "unix" or (parts.scheme in {"redis", "rediss"} and bool(parts.hostname))
        valid = valid and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise SettingsError(
            f"{source}={_masked(url)}: use redis://, rediss:// (TLS) or unix://, as redis://host:6379/0,"
            " or redis+sentinel://user:password@host:26379,host:26379/NAME"
        )
    return url


def _masked(url: str) -> str:
    """Without what may be a password: all before the host, and all after a question mark."""
    shown = url.partition("?")[0]
    return f"***{shown[shown.rindex('@') :]}" if "@" in shown else shown


def database_url(env: Environment) -> str:
    """The URL, whose password no message repeats."""
    url, source = env.secret("DATABASE_URL")
    if url is None:
        raise SettingsError(
            "DATABASE_URL is not set, and SESSION_STORE=sql needs it: postgresql://user:password@host/db"
        )
    scheme = url.partition(":")[0]
    if scheme not in _DATABASES or not url.startswith(f"{scheme}://"):
        raise SettingsError(f"{source}={_masked(url)}: use one of {', '.join(f'{name}://' for name in _DATABASES)}")
    return url


def encryption_keys(env: Environment) -> tuple[bytes, ...]:
    """What encrypts sessions at rest; the first encrypts, all decrypt. None of them: nothing is encrypted."""
    texts, source, _ = _several(env, "SESSION_ENCRYPTION_KEYS")
    for position, text in enumerate(texts, start=1):
        if not re.fullmatch(r"[0-9A-Fa-f]{64}", text):
            raise SettingsError(
                f"{source}: key {position} is not 64 hexadecimal digits: make one with `openssl rand -hex 32`"
            )
    return tuple(bytes.fromhex(text) for text in texts)


def _several(env: Environment, name: str) -> tuple[tuple[str, ...], str, bool]:
    """Several secrets: separated by commas in the variable, one a line in the file; and where they came from."""
    value, source = env.secret(name)
    in_file = source.endswith("_FILE")
    parts = (value or "").split("\n" if in_file else ",")
    return tuple(part.strip() for part in parts if part.strip()), source, bool(value) or in_file
