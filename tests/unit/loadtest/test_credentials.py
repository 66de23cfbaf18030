"""The accounts of virtual users, read from a file."""

import json
from pathlib import Path

import pytest

from loadtest.credentials import Credentials, CredentialsError, read_credentials


def test_a_users_file_has_the_accounts_and_may_name_the_cookie(tmp_path: Path) -> None:
    path = tmp_path / "cluster.json"
    path.write_text(json.dumps({"users": {"alice": "secret"}, "session_cookie": "connect.sid", "url": "http://…"}))
    assert read_credentials(str(path)) == Credentials({"alice": "secret"}, "connect.sid")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot read the users file .*: No such file or directory"),
        ({"users": {}}, "names no users"),
        ({"alice": "x"}, "is not JSON with"),
        ([1], "is not JSON with"),
        ({"users": {"alice": "$argon2id$v=19$..."}}, "holds the hash of alice's password"),
    ],
)
def test_a_users_file_without_usable_accounts_is_refused(tmp_path: Path, content: object, reason: str) -> None:
    path = tmp_path / "users.json"
    if content is not None:
        path.write_text(json.dumps(content))
    with pytest.raises(CredentialsError, match=f"{reason}.*give --users-file or CLUSTER_USERS_FILE"):
        read_credentials(str(path), "--users-file")
