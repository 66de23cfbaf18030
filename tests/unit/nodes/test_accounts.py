import json
import stat
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import argon2
import pytest

from nodes.accounts import UsersError, create_users, read_accounts
from nodes.accounts.users import Users
from nodes.sessions import MemoryStore
from tests.support.node import PASSWORD


@pytest.fixture(autouse=True)
def hashes() -> None:
    """Hash as nodes do."""


@pytest.fixture(scope="module")
def users_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("users") / "users.json"
    create_users(path, ["alice", "bob"], PASSWORD)
    return path


def can_log_in(path: Path, name: str, password: str) -> bool:
    users = Users(MemoryStore(), read_accounts(path))
    return users.is_password(users.get(name), password)


def test_each_user_gets_a_random_password_that_opens_only_their_account(tmp_path: Path) -> None:
    passwords = create_users(tmp_path / "users.json", ["alice", "bob"])
    path = tmp_path / "users.json"
    assert set(passwords) == set(read_accounts(path)) == {"alice", "bob"}  # no default accounts
    assert all(len(password) >= 16 for password in passwords.values())
    assert passwords["alice"] != passwords["bob"]
    assert can_log_in(path, "alice", passwords["alice"])
    assert not can_log_in(path, "alice", passwords["bob"])


def test_passwords_are_stored_as_argon2id_in_a_file_of_the_owner(users_file: Path) -> None:
    accounts = read_accounts(users_file).values()
    assert all(account.hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$") for account in accounts)
    assert stat.S_IMODE(users_file.stat().st_mode) == 0o600


def test_an_existing_users_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "users.json"
    first = create_users(path, ["alice"])
    before = path.read_bytes()
    assert create_users(path, ["mallory"]) == {}
    assert path.read_bytes() == before
    assert can_log_in(path, "alice", first["alice"])
    assert [entry.name for entry in tmp_path.iterdir()] == ["users.json"]


def test_an_unknown_user_takes_as_long_as_a_wrong_password(users_file: Path) -> None:
    users = Users(MemoryStore(), read_accounts(users_file))
    taken: dict[str, list[float]] = {"alice": [], "nobody": []}
    for _ in range(7):
        for name, times in taken.items():
            start = time.process_time()
            assert not users.is_password(users.get(name), "wrong password")
            times.append(time.process_time() - start)
    wrong, unknown = (statistics.median(times) for times in taken.values())
    assert 0.5 < unknown / wrong < 2.0


@pytest.mark.parametrize("password", ["", "x" * 1025, "\ud800", PASSWORD + " ", PASSWORD.upper(), PASSWORD + "\0"])
def test_anything_but_the_password_is_wrong(users_file: Path, password: str) -> None:
    assert not can_log_in(users_file, "alice", password)


def test_a_password_over_the_limit_is_wrong_without_being_hashed(
    users_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("argon2.PasswordHasher.verify", lambda *_: pytest.fail("hashed"))
    assert not can_log_in(users_file, "alice", "x" * 1025)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("root:x:0:0", "must be a users file, but it is not JSON; correct the path, or make another one with `python"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "must be a users file, an object"),
        ("{}", "must be a users file, an object"),
        ('{"alice": "plain"}', "make one with `python -m nodes.accounts make OTHER_FILE NAME`"),
        ('{"alice": 5}', "the hash of 'alice'"),
        (json.dumps({"alice": argon2.PasswordHasher(1, 8, 1).hash("weak")}), "m=19456,t=2,p=1"),
    ],
)
def test_a_malformed_users_file_is_refused_in_one_line(tmp_path: Path, content: str, expected: str) -> None:
    path = tmp_path / "users.json"
    path.write_text(content)
    with pytest.raises(UsersError) as caught:
        read_accounts(path)
    assert str(path) in str(caught.value)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("names", "password", "expected"),
    [
        (["ali ce"], None, "'ali ce'"),
        ([], None, "at least one"),
        (["alice"], "short", "at least 8"),
        (["alice"], "Password1", "too common"),
    ],
)
def test_users_with_a_wrong_name_or_password_are_not_made(
    tmp_path: Path, names: list[str], password: str | None, expected: str
) -> None:
    with pytest.raises(UsersError, match=expected):
        create_users(tmp_path / "users.json", names, password)
    assert list(tmp_path.iterdir()) == []


def test_the_command_makes_a_users_file_once(tmp_path: Path) -> None:
    path = tmp_path / "users.json"
    command = [sys.executable, "-m", "nodes.accounts", "make", str(path), "alice", "bob"]
    run = partial(subprocess.run, command, capture_output=True, text=True, check=False)
    made = run()
    names, passwords = zip(*(line.split(" ") for line in made.stdout.splitlines()), strict=True)
    assert (made.returncode, names) == (0, ("alice", "bob"))
    assert can_log_in(path, "bob", passwords[1])
    again = run()
    assert again.returncode == 1
    assert again.stderr == f"Error: {path} must be a new file; give another path, or remove it\n"


def test_an_unwritable_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsersError, match="cannot write"):
        create_users(tmp_path / "missing" / "users.json", ["alice"])
