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

from nodes.accounts import Users, UsersError, create_users, read_hashes
from tests.support.node import PASSWORD


def test_each_user_gets_a_random_password_that_opens_only_their_account(tmp_path: Path) -> None:
    passwords = create_users(tmp_path / "users.json", ["alice", "bob"])
    users = Users(tmp_path / "users.json")
    assert set(passwords) == set(read_hashes(tmp_path / "users.json")) == {"alice", "bob"}  # no default accounts
    assert all(len(password) >= 16 for password in passwords.values())
    assert passwords["alice"] != passwords["bob"]
    assert users.verify("alice", passwords["alice"])
    assert not users.verify("alice", passwords["bob"])


def test_passwords_are_stored_as_argon2id_in_a_file_of_the_owner(users_file: Path) -> None:
    hashes = read_hashes(users_file).values()
    assert all(hash_.startswith("$argon2id$v=19$m=19456,t=2,p=1$") for hash_ in hashes)
    assert stat.S_IMODE(users_file.stat().st_mode) == 0o600


def test_an_existing_users_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "users.json"
    first = create_users(path, ["alice"])
    before = path.read_bytes()
    assert create_users(path, ["mallory"]) == {}
    assert path.read_bytes() == before
    assert Users(path).verify("alice", first["alice"])
    assert [entry.name for entry in tmp_path.iterdir()] == ["users.json"]


def test_an_unknown_user_takes_as_long_as_a_wrong_password(users_file: Path) -> None:
    users = Users(users_file)
    taken: dict[str, list[float]] = {"alice": [], "nobody": []}
    for _ in range(7):
        for name, times in taken.items():
            start = time.process_time()
            assert not users.verify(name, "wrong password")
            times.append(time.process_time() - start)
    wrong, unknown = (statistics.median(times) for times in taken.values())
    assert 0.5 < unknown / wrong < 2.0


@pytest.mark.parametrize("password", ["", "x" * 1025, "\ud800", PASSWORD + " ", PASSWORD.upper(), PASSWORD + "\0"])
def test_anything_but_the_password_is_wrong(users_file: Path, password: str) -> None:
    assert not Users(users_file).verify("alice", password)


def test_a_password_over_the_limit_is_wrong_without_being_hashed(users_file: Path) -> None:
    users = Users(users_file, run=lambda verify: pytest.fail("hashed"))
    assert not users.verify("alice", "x" * 1025)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("root:x:0:0", "must be a users file, but it is not JSON; correct the path, or make another one with `python"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "must be a users file, an object"),
        ("{}", "must be a users file, an object"),
        ('{"alice": "plain"}', "make one with `python -m nodes.accounts OTHER_FILE NAME`"),
        ('{"alice": 5}', "the hash of 'alice'"),
        (json.dumps({"alice": argon2.PasswordHasher(1, 8, 1).hash("weak")}), "m=19456,t=2,p=1"),
    ],
)
def test_a_malformed_users_file_is_refused_in_one_line(tmp_path: Path, content: str, expected: str) -> None:
    path = tmp_path / "users.json"
    path.write_text(content)
    with pytest.raises(UsersError) as caught:
        Users(path)
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
    command = [sys.executable, "-m", "nodes.accounts", str(path), "alice", "bob"]
    run = partial(subprocess.run, command, capture_output=True, text=True, check=False)
    made = run()
    names, passwords = zip(*(line.split(" ") for line in made.stdout.splitlines()), strict=True)
    assert (made.returncode, names) == (0, ("alice", "bob"))
    assert Users(path).verify("bob", passwords[1])
    again = run()
    assert again.returncode == 1
    assert again.stderr == f"error: {path} must be a new file; give another path, or remove it\n"


def test_an_unwritable_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsersError, match="cannot write"):
        create_users(tmp_path / "missing" / "users.json", ["alice"])
