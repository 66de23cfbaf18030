"""Passwords: which are accepted, and their Argon2id hashes."""

from __future__ import annotations

import secrets
from functools import cache

import argon2

# OWASP's first choice: 19 MiB, two passes, one lane (Password Storage Cheat Sheet; ASVS 5.0, 11.4.2).
HASHER = argon2.PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, type=argon2.Type.ID)
MIN_CHARACTERS = 8
MAX_BYTES = 1024
_RANDOM_BYTES = 15


class UsersError(ValueError):
    """A user, a password or a users file is not as it must be. The message is one line: what, cause, fix."""


class PasswordRefused(UsersError):
    """The password is too short, too long or too common."""


def check_password(password: str) -> None:
    """Raise PasswordRefused for a password that is too short, too long or too common."""
    length = len(_to_bytes(password))
    if len(password) < MIN_CHARACTERS or length > MAX_BYTES:
        raise PasswordRefused(
            f"the password must have at least {MIN_CHARACTERS} characters and at most {MAX_BYTES}"
            f" bytes, not {len(password)} characters"
        )
    if password.lower() in _common_passwords():
        raise PasswordRefused("this password is too common; choose another")


def random_password() -> str:
    """Return a random password of 20 characters."""
    return secrets.token_urlsafe(_RANDOM_BYTES)


def hash_password(password: str) -> str:
    """Return the hash of a password. Takes 19 MiB and about 30 ms of a core, as `matches` does."""
    return HASHER.hash(password)


def matches(hash_: str, password: str) -> bool:
    """Return whether this is the password. One of more than 1024 bytes is not, and is not hashed."""
    data = _to_bytes(password)
    if len(data) > MAX_BYTES:
        return False
    try:
        return HASHER.verify(hash_, data)
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False


def is_current(hash_: str) -> bool:
    """Return whether the hash is Argon2id with our parameters."""
    try:
        return argon2.extract_parameters(hash_).type is argon2.Type.ID and not HASHER.check_needs_rehash(hash_)
    except argon2.exceptions.InvalidHash:
        return False


@cache
def decoy() -> str:
    """Return the hash that is verified in place of an unknown user's, so that both responses cost the same time."""
    return hash_password(secrets.token_urlsafe(24))


def _to_bytes(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")


@cache
def _common_passwords() -> frozenset[str]:
    """Return the 30,000 most frequent passwords, in lower case."""
    from zxcvbn.frequency_lists import FREQUENCY_LISTS  # here: it takes 10 MB, and only a change of password needs it

    return frozenset(FREQUENCY_LISTS["passwords"])
