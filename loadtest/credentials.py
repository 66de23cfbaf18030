"""Accounts of virtual users: a JSON file with {"users": {name: password}}, as `session-cluster up --state` makes."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

USERS_FILE_VARIABLE = "CLUSTER_USERS_FILE"
_HOW = "give {option} or " + USERS_FILE_VARIABLE + "; `session-cluster up --state DIR` writes DIR/cluster.json"


class CredentialsError(Exception):
    """No credentials to log in with; the message is one line with cause and fix."""


class Credentials(msgspec.Struct, frozen=True):
    """The content of such a file: name -> password, and the name of the session's cookie."""

    users: Mapping[str, str]
    session_cookie: str = "session"


def read_credentials(path: str, option: str = "--session-users-file") -> Credentials:
    """Read a users file. Raises CredentialsError, also for an empty path: `option` was not given."""
    how = _HOW.format(option=option)
    if not path:
        raise CredentialsError(f"no users to log in as: {how}")
    try:
        credentials = msgspec.json.decode(Path(path).read_bytes(), type=Credentials)
    except OSError as error:
        raise CredentialsError(f"cannot read the users file {path}: {error.strerror}; {how}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CredentialsError(f'{path} is not JSON with {{"users": {{name: password}}}}: {error}; {how}') from error
    users = credentials.users
    if not users:
        raise CredentialsError(f"{path} names no users; {how}")
    hashed = next((name for name, password in users.items() if password.startswith("$argon2")), None)
    if hashed is not None:
        raise CredentialsError(f"{path} holds the hash of {hashed}'s password, not the password; {how}")
    return credentials
