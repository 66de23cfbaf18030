"""What session-file-store's format asks of the store beyond the contract."""

from __future__ import annotations

import json
import logging
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nodes.sessions import Changes, Lifetime, Outcome, StoreUnavailable
from nodes.sessions.stores.express_file import ExpressFileStore
from nodes.sessions.stores.file_system import write_new

KEY, OTHER = "Zk3-_" * 6 + "ab", "b" * 32
HOUR = Lifetime(idle=600, absolute=3600)
NOW = 1_795_850_000.0
COOKIE = {"originalMaxAge": None, "expires": None, "httpOnly": True, "path": "/"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "sessions"


@pytest.fixture
def store(folder: Path) -> ExpressFileStore:
    made = ExpressFileStore(folder, ttl=600, clock=lambda: NOW)
    made.ping()
    return made


def put(folder: Path, key: str = KEY, **values: Any) -> None:
    """As session-file-store does."""
    session = {"cookie": COOKIE, "__lastAccess": NOW * 1000} | values
    (folder / f"{key}.json").write_text(json.dumps(session))


def saved(folder: Path, key: str = KEY) -> dict[str, Any]:
    return dict(json.loads((folder / f"{key}.json").read_text()))


def fields(store: ExpressFileStore) -> dict[str, bytes] | None:
    record = store.load(KEY)
    return dict(record.fields) if record else None


def beforehand(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """Lets Express act once, after the store has read a session and before it replaces it."""
    acts = [act]

    def written(data: bytes, parent: int, mtime: float) -> str:
        name = write_new(data, parent, mtime)
        if acts:
            acts.pop()()
        return name

    monkeypatch.setattr("nodes.sessions.stores.express_folder.write_new", written)


def test_a_new_session_is_what_session_file_store_writes(folder: Path, store: ExpressFileStore) -> None:
    store.create(KEY, {"visits": b"1"}, "alice", HOUR)
    assert saved(folder) == {
        "cookie": COOKIE,
        "user": "alice",
        "visits": 1,
        "_created": NOW * 1000,
        "__lastAccess": NOW * 1000,
    }
    assert sorted(path.name for path in folder.iterdir()) == [".damaged", ".locks", f"{KEY}.json"]


@pytest.mark.parametrize(
    ("ttl", "lifetime", "last_access"),
    [(600, HOUR, NOW), (300, HOUR, NOW + 300), (3600, HOUR, NOW - 3000), (600, Lifetime(600, 60), NOW - 540)],
)
def test_both_sides_reckon_the_same_end(folder: Path, ttl: float, lifetime: Lifetime, last_access: float) -> None:
    store = ExpressFileStore(folder, ttl=ttl, clock=lambda: NOW)
    store.create(KEY, {}, None, lifetime)
    assert saved(folder)["__lastAccess"] == last_access * 1000
    record = store.load(KEY)
    assert record is not None
    assert record.ttl == pytest.approx(min(lifetime.idle, lifetime.absolute))


@pytest.mark.parametrize(
    ("age", "ttl"), [(None, 600), (0, 600), (False, 600), (60_000, 60), (-1, None), (10**400, 600), ("x", 600)]
)
def test_express_s_max_age_is_its_life(folder: Path, store: ExpressFileStore, age: Any, ttl: float | None) -> None:
    put(folder, cookie=COOKIE | {"originalMaxAge": age})
    record = store.load(KEY)
    assert (record and record.ttl) == ttl


@pytest.mark.parametrize("last", [None, "1795850000000", [], {}, True])
def test_a_session_whose_end_nobody_can_tell_is_damaged(folder: Path, store: ExpressFileStore, last: Any) -> None:
    put(folder, __lastAccess=last)
    assert store.load(KEY) is None
    assert [json.loads(path.read_text())["__lastAccess"] for path in (folder / ".damaged").iterdir()] == [last]


def test_what_is_called_as_a_field_of_the_format_is_kept_apart(folder: Path, store: ExpressFileStore) -> None:
    store.create(KEY, {"__lastAccess": b'"mine"'}, None, HOUR)
    assert saved(folder)["~__lastAccess"] == "mine"
    assert fields(store) == {"__lastAccess": b'"mine"'}


# ---- the other side, at the same time


def test_a_write_of_express_s_in_between_is_merged_and_not_overwritten(
    folder: Path, store: ExpressFileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(folder, a=1, b=1)
    beforehand(monkeypatch, lambda: put(folder, a=1, b=2, user="alice"))
    assert store.update(KEY, Changes({"a": b"3"}), HOUR) is Outcome.APPLIED
    record = store.load(KEY)
    assert record is not None
    assert (record.owner, dict(record.fields)) == ("alice", {"a": b"3", "b": b"2"})


def test_a_compare_and_set_sees_what_express_wrote_in_between(
    folder: Path, store: ExpressFileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(folder, a=1)
    beforehand(monkeypatch, lambda: put(folder, a=2))
    assert store.update(KEY, Changes({"a": b"3"}, expect={"a": b"1"}), HOUR) is Outcome.CONFLICT
    assert fields(store) == {"a": b"2"}


@pytest.mark.parametrize("changes", [Changes({"a": b"3"}), Changes()])
def test_a_logout_of_express_s_in_between_wins(
    folder: Path, store: ExpressFileStore, monkeypatch: pytest.MonkeyPatch, changes: Changes
) -> None:
    put(folder, a=1)
    beforehand(monkeypatch, (folder / f"{KEY}.json").unlink)
    assert store.update(KEY, changes, HOUR) is Outcome.ABSENT
    assert [path.name for path in folder.iterdir() if not path.is_dir()] == []


def test_who_reads_meanwhile_sees_the_old_session_or_the_new_one(
    folder: Path, store: ExpressFileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.create(KEY, {"a": b"1"}, None, HOUR)
    before, seen = saved(folder), []
    beforehand(monkeypatch, lambda: seen.append(saved(folder)))
    store.update(KEY, Changes({"a": b"2"}), HOUR)
    assert seen == [before]
    assert saved(folder)["a"] == 2


def test_a_disk_that_is_full_leaves_the_old_session(
    folder: Path, store: ExpressFileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.create(KEY, {"a": b"1"}, None, HOUR)

    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(StoreUnavailable, match="No space left"):
            store.update(KEY, Changes({"a": b"2"}), HOUR)
    assert fields(store) == {"a": b"1"}
    assert list(folder.glob(".*.new")) == []


# ---- names


NO_NAMES = (
    "../" + "a" * 32,
    "a" * 20 + "/../../x",
    "/etc/passwd-and-more-of-it",
    "." + "a" * 32,
    "..",
    "short",
    "a" * 129,
    "a" * 32 + "\n",
    "a" * 32 + "\0",
    "a" * 32 + "é",
    "a" * 16 + "\\" + "a" * 16,
)


@pytest.mark.parametrize("session_id", NO_NAMES)
def test_no_id_leads_out_of_the_folder(folder: Path, store: ExpressFileStore, session_id: str) -> None:
    for call in (store.load, store.delete, store.set_aside):
        with pytest.raises(ValueError, match="is no key"):
            call(session_id)
    with pytest.raises(ValueError, match="is no key"):
        store.create(session_id, {}, None, HOUR)
    with pytest.raises(ValueError, match="is no key"):
        store.update(session_id, Changes({"a": b"1"}), HOUR)
    assert list(folder.parent.rglob("*.json")) == []


@pytest.mark.parametrize("session_id", NO_NAMES)
def test_a_cookie_with_such_an_id_is_refused_though_its_signature_is_right(
    store: ExpressFileStore, session_id: str
) -> None:
    secret = b"a secret of more than thirty-two bytes"
    assert store.cookie.verify(store.cookie.sign(session_id, secret), [secret]) is None
    assert store.cookie.verify(store.cookie.sign(KEY, secret), [secret]) == KEY


def test_a_symbolic_link_is_not_followed(folder: Path, store: ExpressFileStore, tmp_path: Path) -> None:
    put(tmp_path, a=1)
    (folder / f"{KEY}.json").symlink_to(tmp_path / f"{KEY}.json")
    assert store.load(KEY) is None
    assert not (folder / f"{KEY}.json").is_symlink()
    assert saved(tmp_path)["a"] == 1


def test_nobody_else_can_read_what_this_side_writes(folder: Path, store: ExpressFileStore) -> None:
    store.create(KEY, {"a": b"1"}, "alice", HOUR)
    for each in [folder, *folder.rglob("*")]:
        assert stat.S_IMODE(each.stat().st_mode) == (0o700 if each.is_dir() else 0o600), each


# ---- what is damaged, and what is left over


def test_the_log_names_the_hash_of_a_damaged_session_and_never_its_id(
    folder: Path, store: ExpressFileStore, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / f"{KEY}.json").write_text("{")
    with caplog.at_level(logging.ERROR):
        assert store.update(KEY, Changes({"a": b"1"}), HOUR) is Outcome.ABSENT
    assert "is damaged and was set aside" in caplog.text
    assert KEY not in caplog.text
    assert not any(KEY in path.name for path in folder.rglob("*"))


def test_a_sweep_takes_what_express_left_and_what_writers_that_died_left(
    folder: Path, store: ExpressFileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(folder, KEY, __lastAccess=NOW * 1000 - 601_000)
    put(folder, OTHER)
    (folder / "notes.txt").write_text("not ours")
    (folder / ".0123456789abcdef.new").write_text("left over")
    (folder / ("c" * 32 + ".json")).write_text("{broken")
    later = time.time() + 120
    monkeypatch.setattr(time, "time", lambda: later)
    assert store.sweep() == 1
    assert {path.name for path in folder.iterdir() if path.is_file()} == {
        f"{OTHER}.json",
        "notes.txt",
        "c" * 32 + ".json",
    }
    assert list(store.keys()) == [OTHER]
