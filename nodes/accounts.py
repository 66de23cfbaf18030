"""Users and their passwords: a JSON file that maps each name to an Argon2id hash, shared by the nodes.

`python -m nodes.accounts FILE NAME…` makes one, and prints each user's password.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import secrets
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import argon2

log = logging.getLogger("nodes.accounts")

# OWASP's first choice: 19 MiB, two passes, one lane (Password Storage Cheat Sheet; ASVS 5.0, 11.4.2).
HASHER = argon2.PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, type=argon2.Type.ID)
MIN_PASSWORD_CHARACTERS = 8
MAX_PASSWORD_BYTES = 1024
DISABLED = "!"
"""The prefix of the hash of a user who may not log in, as in /etc/shadow."""
_FIX = "correct the path, or make another one with `python -m nodes.accounts FILE NAME…`"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}\Z")


class UsersError(ValueError):
    """The users file can't be used. The message is one line: file, cause, fix."""


class PasswordRefused(UsersError):
    """The password is too short, too long or too common."""


class PasswordChanged(UsersError):
    """Another change replaced the password first, or the user was disabled meanwhile."""


class Users:
    """The users in a file, which is read again when it changed. Raises UsersError.

    `run` calls the hashing, so that a server can do it where it blocks no other request.
    """

    def __init__(self, path: Path, run: Callable[[Callable[[], Any]], Any] | None = None) -> None:
        self._path = path
        self._seen = _stamp(path)
        self._hashes = read_hashes(path)
        self._run = run or (lambda hashing: hashing())
        _decoy()  # made here, so that the first unknown user costs no more time than the others

    def _current(self) -> Mapping[str, str]:
        """Return the hashes in the file; if it is missing or corrupt by now, return those of the last read."""
        try:
            if (seen := _stamp(self._path)) != self._seen:
                self._hashes, self._seen = read_hashes(self._path), seen
        except UsersError as error:
            log.error("the users file was not read again: %s", error)  # noqa: TRY400 - a line, no trace
        return self._hashes

    def verify(self, name: str, password: str) -> str | None:
        """Return the hash of the user's password if this is it, else None; equally slow for unknown users.

        The hash may change before the caller acts on it: see `holds`. A password of more than 1024 bytes is wrong
        without being hashed, which would only cost time.
        """
        data = password.encode("utf-8", "surrogatepass")
        if len(data) > MAX_PASSWORD_BYTES:
            return None
        hash_ = self._current().get(name)
        matches = self._run(lambda: _matches((hash_ or _decoy()).removeprefix(DISABLED), data))
        return hash_ if matches and hash_ is not None and not hash_.startswith(DISABLED) else None

    def holds(self, name: str, hash_: str) -> bool:
        """Return whether the result of `verify` still holds: the user has this password, and is not disabled.

        Call it after the session is created. This call notices an earlier change of the password, and a later change
        finds the session and ends it.
        """
        return self._current().get(name) == hash_

    def set_password(self, name: str, password: str, instead_of: str) -> str:
        """Store the hash of a new password in place of the hash that `verify` found, and return it.

        Raises `PasswordRefused`, `PasswordChanged`, and `UsersError` where the file can't be written; one line each.
        """
        check_password(password)

        def hash_and_store() -> str:
            new = HASHER.hash(password)
            with change_users(self._path) as hashes:
                if hashes.get(name) != instead_of:
                    raise PasswordChanged(f"the password of {name!r} was changed meanwhile, or they were disabled")
                hashes[name] = new
            return new

        return str(self._run(hash_and_store))


@cache
def _decoy() -> str:
    """Return the hash that is verified in place of an unknown user's, so that both responses cost the same time."""
    return HASHER.hash(secrets.token_urlsafe(24))


def read_hashes(path: Path) -> dict[str, str]:
    """Return the hash of each user, with `DISABLED` before it if they may not log in. Raises UsersError."""
    try:
        users = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsersError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise UsersError(f"{path} must be a users file, but it is not JSON; {_FIX}") from None
    if not isinstance(users, dict) or not users:
        raise UsersError(f"{path} must be a users file, an object of names and Argon2id hashes; {_FIX}")
    for name, hash_ in users.items():
        # One set of parameters for all, or the response time would show which users exist.
        if not isinstance(hash_, str) or not _is_current(hash_.removeprefix(DISABLED)):
            raise UsersError(
                f"{path}: the hash of {name!r} must be Argon2id with m=19456,t=2,p=1;"
                " make one with `python -m nodes.accounts OTHER_FILE NAME`, and copy it"
            )
    return users


@contextmanager
def change_users(path: Path) -> Iterator[dict[str, str]]:
    """Yield all hashes for the block to change, then replace the file; one process at a time.

    The file is kept where the block raises. Raises `UsersError`.
    """
    try:
        with (path.parent / f".{path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # held for a few milliseconds
            hashes = read_hashes(path)
            yield hashes
            Path(_write_temporary(path, json.dumps(hashes, indent=2) + "\n")).replace(path)
    except OSError as error:
        raise UsersError(f"cannot write {path}: {error.strerror}") from None


def set_enabled(path: Path, name: str, enabled: bool) -> None:
    """Allow or refuse a user's logins; their sessions go on. Raises UsersError."""
    with change_users(path) as hashes:
        if name not in hashes:
            raise UsersError(f"{path}: no such user: {name!r}")
        hashes[name] = ("" if enabled else DISABLED) + hashes[name].removeprefix(DISABLED)


def check_password(password: str) -> None:
    """Raise PasswordRefused for a password that is too short, too long or too common."""
    length = len(password.encode("utf-8", "surrogatepass"))
    if len(password) < MIN_PASSWORD_CHARACTERS or length > MAX_PASSWORD_BYTES:
        raise PasswordRefused(
            f"the password must have at least {MIN_PASSWORD_CHARACTERS} characters and at most {MAX_PASSWORD_BYTES}"
            f" bytes, not {len(password)} characters"
        )
    if password.lower() in _common_passwords():
        raise PasswordRefused("this password is too common; choose another")


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


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
    """Create the users file (mode 0600, atomically) and return the password of each user.

    Each gets a random password of 20 characters, or all get `password`. An existing file is kept, and then the result
    is empty. Raises `UsersError`, one line.
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
    if password is not None:
        check_password(password)
    passwords = {name: password or secrets.token_urlsafe(15) for name in names}
    hashes = {name: HASHER.hash(word) for name, word in passwords.items()}
    try:
        made = _write_new(path, json.dumps(hashes, indent=2) + "\n")
    except OSError as error:
        raise UsersError(f"cannot write {path}: {error.strerror}") from None
    return passwords if made else {}


def _write_new(path: Path, text: str) -> bool:
    """Write the file atomically unless it exists; return whether it was written."""
    temporary = _write_temporary(path, text)
    try:
        os.link(temporary, path)  # unlike a rename, a link does not replace a file that another process made meanwhile
    except FileExistsError:
        return False
    finally:
        Path(temporary).unlink()
    return True


def _write_temporary(path: Path, text: str) -> str:
    """Write a temporary file beside `path`, mode 0600, with fsync; return its path."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return temporary


@cache
def _common_passwords() -> frozenset[str]:
    """Return the 30,000 most frequent passwords, in lower case."""
    from zxcvbn.frequency_lists import FREQUENCY_LISTS  # here: it takes 10 MB, and only a change of password needs it

    return frozenset(FREQUENCY_LISTS["passwords"])


def main() -> None:
    """Make a users file and print each user's password: `python -m nodes.accounts FILE NAME…`."""
    if len(sys.argv) < 3:
        sys.exit("usage: python -m nodes.accounts FILE NAME…")
    try:
        passwords = create_users(Path(sys.argv[1]), sys.argv[2:])
    except UsersError as error:
        sys.exit(f"error: {error}")
    if not passwords:
        sys.exit(f"error: {sys.argv[1]} must be a new file; give another path, or remove it")
    for name, password in passwords.items():
        print(name, password)


if __name__ == "__main__":
    main()
