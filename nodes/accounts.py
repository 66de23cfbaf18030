"""Users and their passwords: a JSON file that maps each name to an Argon2id hash, shared by the nodes."""

from __future__ import annotations

import json
import os
import re
import secrets
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import argon2

# OWASP's first choice: 19 MiB, two passes, one lane (Password Storage Cheat Sheet; ASVS 5.0, 11.4.2).
HASHER = argon2.PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, type=argon2.Type.ID)
MIN_PASSWORD_CHARACTERS = 8
MAX_PASSWORD_BYTES = 1024
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}\Z")


class UsersError(ValueError):
    """The users file can't be used: one line that says which, why, and what to do."""


class Users:
    """Who may log in. `run` calls the hashing, so that a server can have it done where it blocks nobody else."""

    def __init__(self, hashes: Mapping[str, str], run: Callable[[Callable[[], bool]], bool] | None = None) -> None:
        self._hashes = dict(hashes)
        self._run = run or (lambda verify: verify())
        # Verified in place of an unknown user's hash, so that both answers cost the same time.
        self._decoy = HASHER.hash(secrets.token_urlsafe(24))

    @classmethod
    def read(cls, path: Path, run: Callable[[Callable[[], bool]], bool] | None = None) -> Users:
        """The users in the file at `path`. Raises `UsersError`, one line."""
        try:
            users = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise UsersError(f"{path}: can't be read ({error.strerror})") from None
        except (ValueError, RecursionError):
            raise UsersError(f"{path}: is not JSON; delete it and have it made again") from None
        if not isinstance(users, dict) or not users:
            raise UsersError(f"{path}: holds no users; it must be an object of names and Argon2id hashes")
        for name, hash_ in users.items():
            # One set of parameters for all, or the time of an answer would tell who exists.
            if not isinstance(hash_, str) or not _is_current(hash_):
                raise UsersError(f"{path}: the hash of {name!r} is not Argon2id with m=19456,t=2,p=1; make it again")
        return cls(users, run)

    def verify(self, name: str, password: str) -> bool:
        """Whether this is the user's password. Unknown users cost what wrong passwords cost.

        A password of more than 1024 bytes is wrong without being hashed: it could only cost time.
        """
        data = password.encode("utf-8", "surrogatepass")
        if len(data) > MAX_PASSWORD_BYTES:
            return False
        hash_ = self._hashes.get(name)
        return self._run(lambda: _matches(hash_ or self._decoy, data)) and hash_ is not None


def _is_current(hash_: str) -> bool:
    try:
        return argon2.extract_parameters(hash_).type is argon2.Type.ID and not HASHER.check_needs_rehash(hash_)
    except argon2.exceptions.InvalidHash:
        return False


def _matches(hash_: str, password: bytes) -> bool:
    try:
        return HASHER.verify(hash_, password)
    except argon2.exceptions.VerificationError:
        return False


def create_users(path: Path, names: Iterable[str], password: str | None = None) -> dict[str, str]:
    """Makes the users file (mode 0600, whole or not at all) and returns the password of each user.

    Each gets a random password of 20 characters, or all get `password`. A file that is there already is kept as it is;
    then nobody was made, and the answer is empty. Raises `UsersError`, one line.
    """
    path = Path(path)
    if path.exists():
        return {}
    names = list(names)
    for name in names:
        if not _NAME.match(name):
            raise UsersError(f"user {name!r}: use 1 to 64 letters, digits, '.', '_', '@', '+' or '-'")
    if not names:
        raise UsersError(f"{path}: give at least one user")
    long_enough = password is None or len(password) >= MIN_PASSWORD_CHARACTERS
    if password is not None and not (long_enough and len(password.encode()) <= MAX_PASSWORD_BYTES):
        raise UsersError(
            f"the password has {len(password)} characters: use at least {MIN_PASSWORD_CHARACTERS},"
            f" and at most {MAX_PASSWORD_BYTES} bytes"
        )
    passwords = {name: password or secrets.token_urlsafe(15) for name in names}
    hashes = {name: HASHER.hash(word) for name, word in passwords.items()}
    try:
        made = _write_new(path, json.dumps(hashes, indent=2) + "\n")
    except OSError as error:
        raise UsersError(f"{path}: can't be written ({error.strerror})") from None
    return passwords if made else {}


def _write_new(path: Path, text: str) -> bool:
    """Writes the file unless it exists by now; whether it did. A reader never sees half of it."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)  # unlike a rename, this refuses to replace what another process made meanwhile
    except FileExistsError:
        return False
    finally:
        Path(temporary).unlink()
    return True
