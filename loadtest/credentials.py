"""Whom virtual users log in as: a JSON file with {"users": {name: password}}, as `session-cluster up --state` makes."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

USERS_FILE_VARIABLE = "CLUSTER_USERS_FILE"
HOW = f"give --session-users-file or {USERS_FILE_VARIABLE}; `session-cluster up --state DIR` writes DIR/cluster.json"


class CredentialsError(Exception):
    """There are no credentials to log in with; the message is one line that says why and what to do."""


class _Credentials(msgspec.Struct):
    users: dict[str, str]


def read_credentials(path: str) -> Mapping[str, str]:
    """Names and passwords from a file. Raises CredentialsError, also for a path that is empty (not given)."""
    if not path:
        raise CredentialsError(f"no users to log in as: {HOW}")
    try:
        users = msgspec.json.decode(Path(path).read_bytes(), type=_Credentials).users
    except OSError as error:
        raise CredentialsError(f"cannot read the users file {path}: {error.strerror}; {HOW}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CredentialsError(f'{path} is no JSON with {{"users": {{name: password}}}}: {error}; {HOW}') from error
    if not users:
        raise CredentialsError(f"{path} names no users; {HOW}")
    hashed = next((name for name, password in users.items() if password.startswith("$argon2")), None)
    if hashed is not None:
        raise CredentialsError(f"{path} holds the hash of {hashed}'s password, not the password; {HOW}")
    return users
