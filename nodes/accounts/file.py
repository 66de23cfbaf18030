"""The users file: JSON that maps each name to an Argon2id hash. A node starts with these users.

A hash with `!` before it belongs to a user who may not log in, as in /etc/shadow.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

import msgspec

from .passwords import UsersError, check_password, hash_password, is_current, random_password

DISABLED = "!"
_FIX = "correct the path, or make another one with `python -m nodes.accounts make FILE NAME…`"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}\Z")


class Account(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One user."""

    name: str
    hash: str
    """The Argon2id hash of the password."""
    enabled: bool = True
    """Whether the user may log in."""
    replaced: str | None = None
    """The hash of the password before their last change of it: see `Users.is_repeated`."""
    unfinished: bool = False
    """Whether sessions from before the last change of the password may still be there: see `Users.finish`."""


def read_accounts(path: Path) -> dict[str, Account]:
    """Return the users in the file by name. Raises UsersError."""
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
        if not isinstance(hash_, str) or not is_current(hash_.removeprefix(DISABLED)):
            raise UsersError(
                f"{path}: the hash of {name!r} must be Argon2id with m=19456,t=2,p=1;"
                " make one with `python -m nodes.accounts make OTHER_FILE NAME`, and copy it"
            )
    return {
        name: Account(name, hash_.removeprefix(DISABLED), enabled=not hash_.startswith(DISABLED))
        for name, hash_ in users.items()
    }


def check_name(name: str) -> None:
    """Raise UsersError for what can't be the name of a new user."""
    if not _NAME.match(name):
        raise UsersError(f"user {name!r}: use 1 to 64 letters, digits, '.', '_', '@', '+' or '-'")


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
        check_name(name)
    if not names:
        raise UsersError(f"{path}: give at least one user")
    if password is not None:
        check_password(password)
    passwords = {name: password or random_password() for name in names}
    hashes = {name: hash_password(word) for name, word in passwords.items()}
    try:
        made = _write_new(path, json.dumps(hashes, indent=2) + "\n")
    except OSError as error:
        raise UsersError(f"cannot write {path}: {error.strerror}") from None
    return passwords if made else {}


def _write_new(path: Path, text: str) -> bool:
    """Write the file atomically unless it exists; return whether it was written."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)  # unlike a rename, a link does not replace a file that another process made meanwhile
    except FileExistsError:
        return False
    finally:
        Path(temporary).unlink()
    return True
