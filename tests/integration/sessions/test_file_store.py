"""What the file store owes to being made of files: faults of the disk, several processes, what an attacker plants."""

from __future__ import annotations

import contextlib
import errno
import logging
import multiprocessing
import os
import resource
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nodes.sessions import Changes, FileStore, Outcome, StoreUnavailable, UnsupportedRecordVersion
from nodes.sessions.stores.file.io import lock
from nodes.sessions.stores.file.layout import FORMAT
from tests.support.records import HOUR, load

KEY, OTHER = "a" * 64, "ab" + "c" * 62
FORK = multiprocessing.get_context("fork")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "sessions"


@pytest.fixture
def store(folder: Path) -> FileStore:
    return FileStore(folder)


def fields(store: FileStore, key: str = KEY) -> dict[str, bytes] | None:
    record = store.load(key)
    return dict(record.fields) if record else None


def path(folder: Path, key: str = KEY) -> Path:
    return folder / key[:2] / key


@contextlib.contextmanager
def held_by_a_process(hold: Callable[[], contextlib.AbstractContextManager[Any]]) -> Iterator[Any]:
    """Another process is inside `hold()` as long as the block lasts, or until the block kills it."""
    ours, theirs = FORK.Pipe()

    def run() -> None:
        with hold():
            theirs.send("started")
            theirs.poll(30)

    process = in_process(run)
    assert ours.poll(10)
    try:
        yield process
    finally:
        ours.send("go on")
        process.join(10)


def in_process(call: Callable[[], Any]) -> Any:
    process = FORK.Process(target=call)
    process.start()
    return process


def test_a_session_that_moves_once_the_index_was_read_is_found(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.create(KEY, {}, "alice", HOUR)
    read, moves = store._indexed_keys, [(KEY, OTHER)]

    def moved_after(owner: str) -> set[str]:
        found = read(owner)
        for old, new in (moves.pop() for _ in moves[:]):
            store.create(new, {}, "alice", HOUR)
            store.delete(old)
        return found

    monkeypatch.setattr(store, "_indexed_keys", moved_after)
    assert store.keys_of("alice") == [OTHER]


# ---- who may see and plant what


def test_only_the_user_of_the_process_can_read_or_list_sessions(folder: Path, store: FileStore) -> None:
    store.create(KEY, {"a": b"1"}, "alice", HOUR)
    for each in [folder, *folder.rglob("*")]:
        mode = stat.S_IMODE(each.stat().st_mode)
        assert mode == (0o700 if each.is_dir() else 0o600), each


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_folder_that_others_may_write_to_is_refused(folder: Path, store: FileStore, mode: int) -> None:
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(StoreUnavailable, match="others may write to it"):
        store.load(KEY)


@pytest.mark.parametrize(
    "key",
    [
        *("../" + "a" * 61, "a" * 63, "A" * 64, "a" * 63 + "\0", "", "/etc/passwd", "a" * 64 + "\n"),
        *("g/../" + "a" * 59, "g" * 64, "g" + "a" * 62, "G" + "a" * 63, "ag" + "a" * 62),
    ],
)
def test_only_a_valid_key_becomes_the_name_of_a_file(store: FileStore, key: str) -> None:
    for call in (store.load, store.delete, store.quarantine):
        with pytest.raises(ValueError, match="a key must be"):
            call(key)
    with pytest.raises(ValueError, match="a key must be"):
        store.create(key, {}, None, HOUR)


@pytest.mark.parametrize("owner", ["../../x", "/etc", "a\0b", "", "." * 300])
def test_an_owner_never_becomes_a_path(folder: Path, store: FileStore, owner: str) -> None:
    store.create(KEY, {}, owner, HOUR)
    assert store.keys_of(owner) == [KEY]
    assert {each.parent.parent for each in folder.rglob(KEY)} <= {folder, folder / "users"}


def test_a_symbolic_link_is_followed_nowhere(folder: Path, store: FileStore, tmp_path: Path) -> None:
    store.create(OTHER, {"a": b"1"}, None, HOUR)
    outside = tmp_path / "outside"
    path(folder, OTHER).rename(outside)
    before = outside.read_bytes()
    path(folder, OTHER).symlink_to(outside)
    assert store.load(OTHER) is None
    assert not path(folder, OTHER).is_symlink()
    path(folder, OTHER).symlink_to(outside)
    assert store.update(OTHER, Changes({"a": b"2"}), HOUR) is Outcome.ABSENT
    assert store.create(OTHER, {"a": b"3"}, None, HOUR) is not None
    assert outside.read_bytes() == before


def test_a_shard_that_is_a_symbolic_link_is_refused(folder: Path, store: FileStore, tmp_path: Path) -> None:
    store.ping()
    shard = folder / KEY[:2]
    shard.rmdir()
    (tmp_path / "elsewhere").mkdir()
    shard.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreUnavailable):
        store.create(KEY, {"a": b"1"}, None, HOUR)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_anything_but_a_regular_file_is_quarantined_without_blocking(folder: Path, store: FileStore) -> None:
    store.ping()
    os.mkfifo(path(folder))
    assert store.load(KEY) is None
    assert not path(folder).exists()
    path(folder).mkdir()
    assert store.load(KEY) is None


# ---- what is damaged, and what is newer


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:10],
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: data[:30] + bytes([data[30] ^ 1]) + data[31:],
        lambda data: b"\0" * len(data),
        lambda data: b"\x80\x04\x95pickled",
    ],
)
def test_a_corrupt_file_is_quarantined_once_and_kept_for_a_day(
    folder: Path, damage: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    now = time.time()
    store = FileStore(folder, clock=lambda: now)
    store.create(KEY, {"a": b"1"}, "alice", HOUR)
    damaged = damage(path(folder).read_bytes())
    path(folder).write_bytes(damaged)
    with caplog.at_level(logging.ERROR):
        assert store.load(KEY) is None
        assert store.load(KEY) is None
    assert [KEY in record.getMessage() for record in caplog.records] == [True]
    (kept,) = (folder / "damaged").iterdir()
    assert kept.name.startswith(KEY)
    assert kept.read_bytes() == damaged
    assert store.create(KEY, {"b": b"2"}, None, HOUR) is not None


def test_a_later_version_is_neither_read_nor_overwritten_but_can_be_ended(folder: Path, store: FileStore) -> None:
    store.create(KEY, {"a": b"1"}, None, HOUR)
    newer = bytearray(path(folder).read_bytes())
    newer[2] = FORMAT + 1
    path(folder).write_bytes(newer)
    for call in (
        lambda: store.load(KEY),
        lambda: store.update(KEY, Changes({"a": b"2"}), HOUR),
        lambda: store.create(KEY, {}, None, HOUR),
    ):
        with pytest.raises(UnsupportedRecordVersion):
            call()
    assert path(folder).read_bytes() == newer
    store.delete(KEY)
    assert not path(folder).exists()


# ---- faults of the disk


@contextlib.contextmanager
def no_more_than(size: int) -> Iterator[None]:
    """Files end at `size` bytes, as on a full disk, for this process."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_refuses_the_write_and_loses_nothing(folder: Path, store: FileStore) -> None:
    store.create(KEY, {"a": b"1"}, "alice", HOUR)
    with no_more_than(1000):
        with pytest.raises(StoreUnavailable):
            store.update(KEY, Changes({"a": b"x" * 5000}), HOUR)
        with pytest.raises(StoreUnavailable):
            store.create(OTHER, {"a": b"x" * 5000}, "bob", HOUR)
        assert fields(store) == {"a": b"1"}
        assert store.load(OTHER) is None
        assert store.delete(KEY) is not None
    assert store.keys_of("bob") == []
    assert list(folder.rglob("*.new")) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS, errno.EMFILE])
@pytest.mark.parametrize("call", ["open", "write", "fsync", "rename", "utime"])
def test_every_error_of_the_system_means_unavailable(
    store: FileStore, call: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.create(KEY, {"a": b"1"}, None, HOUR)

    def failing(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing)
        with pytest.raises(StoreUnavailable, match=os.strerror(number)):
            store.update(KEY, Changes({"a": b"2"}), HOUR)
    assert fields(store) in ({"a": b"1"}, {"a": b"2"} if call == "fsync" else None)


def test_a_held_lock_delays_no_operation_for_longer_than_its_timeout(folder: Path) -> None:
    store = FileStore(folder, lock_timeout=0.2)
    store.create(KEY, {"a": b"1"}, None, HOUR)
    with held_by_a_process(lambda: store._folders.lock_shard(KEY)) as process:
        assert fields(store) == {"a": b"1"}
        with pytest.raises(StoreUnavailable, match="locked"):
            store.update(KEY, Changes({"a": b"2"}), HOUR)
        process.kill()
        process.join(10)
        assert store.update(KEY, Changes({"a": b"2"}), HOUR) is Outcome.APPLIED  # the kernel gave it back


# ---- several processes


def test_one_of_many_processes_creates_a_session_and_all_count_in_it(store: FileStore) -> None:
    made = FORK.Queue()

    def count() -> None:
        made.put(store.create(KEY, {"n": b"0"}, None, HOUR) is not None)
        for _ in range(25):
            outcome = Outcome.CONFLICT
            while outcome is not Outcome.APPLIED:
                before = load(store, KEY).fields["n"]
                outcome = store.update(KEY, Changes({"n": b"%d" % (int(before) + 1)}, expect={"n": before}), HOUR)

    processes = [in_process(count) for _ in range(4)]
    assert sorted(made.get(timeout=30) for _ in processes) == [False] * 3 + [True]
    for process in processes:
        process.join(60)
    assert fields(store) == {"n": b"100"}


def test_one_process_sweeps_at_a_time(folder: Path) -> None:
    now = time.time()
    store = FileStore(folder, clock=lambda: now - 10_000)
    store.create(KEY, {}, "alice", HOUR)
    later = FileStore(folder)

    @contextlib.contextmanager
    def sweeping() -> Iterator[None]:
        with later._folders.open_root() as root, lock("sweeping", root, 0) as is_mine:
            assert is_mine
            yield

    with held_by_a_process(sweeping):
        assert later.sweep() == 0
    assert later.sweep() == 1
    assert not path(folder).exists()
    assert list((folder / "users").rglob(KEY)) == []


def test_a_session_that_is_touched_during_a_sweep_stays(folder: Path, store: FileStore) -> None:
    store.create(KEY, {"a": b"1"}, None, HOUR)
    os.utime(path(folder), (0.5, 0.5))  # as the sweeper saw it, before somebody else's update
    assert store.sweep() == 0
    assert fields(store) == {"a": b"1"}


def test_files_of_dead_writers_are_swept_and_those_of_living_ones_are_not(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FileStore(folder)
    store.ping()
    left = folder / "00" / ".0123.new"
    left.write_bytes(b"half")
    store.sweep()
    assert left.exists()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 61)
    store.sweep()
    assert not left.exists()


# ---- what a sweep comes across


def shard_of_five(folder: Path, now: list[float]) -> FileStore:
    """Five sessions of five users in one shard, all of which have expired."""
    store = FileStore(folder, clock=lambda: now[0])
    for number in range(5):
        store.create(f"ab{number:062x}", {"a": b"1"}, f"user {number}", HOUR)
    now[0] += 4000
    return store


def changed(file: Path, at: int, byte: int) -> None:
    """Damages a file in such a way that it still says when it expires, as a disk does."""
    modified = file.stat().st_mtime
    data = bytearray(file.read_bytes())
    data[at] ^= byte
    file.write_bytes(data)
    os.utime(file, (modified, modified))


def test_a_sweep_goes_on_past_what_it_may_not_remove(folder: Path) -> None:
    now = [time.time()]
    store = shard_of_five(folder, now)
    first = [entry.name for entry in os.scandir(folder / "ab") if len(entry.name) == 64][:3]
    for name in first:  # those that a sweep comes across first
        changed(folder / "ab" / name, 2, FORMAT ^ (FORMAT + 1))
    assert [store.sweep(2), store.sweep(2)] == [2, 0]
    assert sorted(path.name for path in (folder / "ab").glob("ab*")) == sorted(first)


def test_a_corrupt_session_that_is_never_read_is_quarantined_when_it_expires(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = [time.time()]
    store = shard_of_five(folder, now)
    for number in range(3):
        changed(folder / "ab" / f"ab{number:062x}", -1, 1)
    with caplog.at_level(logging.ERROR):
        assert [store.sweep(2) for _ in range(4)] == [2, 2, 1, 0]
    assert len(caplog.records) == 3
    assert list((folder / "ab").glob("ab*")) == []
    assert len(list((folder / "damaged").iterdir())) == 3  # for a day, for whoever wants to look
    later = time.time() + 86_500
    monkeypatch.setattr(time, "time", lambda: later)
    store.sweep()
    assert list((folder / "damaged").iterdir()) == []


def test_a_quarantined_folder_stops_no_sweep(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FileStore(folder)
    store.ping()
    path(folder).mkdir()
    assert store.load(KEY) is None
    later = time.time() + 86_500
    monkeypatch.setattr(time, "time", lambda: later)
    assert store.sweep() == 0


def test_a_locked_shard_keeps_no_other_from_being_swept(folder: Path) -> None:
    now = [time.time()]
    store = FileStore(folder, lock_timeout=0.05, clock=lambda: now[0])
    for shard in ("20", "40", "60"):
        store.create(shard + "0" * 62, {}, None, HOUR)
    now[0] += 4000
    with held_by_a_process(lambda: store._folders.lock_shard("40" + "0" * 62)):
        for _ in range(2):  # the second begins behind the shard that the first one stopped at
            with pytest.raises(StoreUnavailable, match="locked"):
                store.sweep()
        assert sorted(session.name[:2] for session in folder.glob("??/*") if len(session.name) == 64) == ["40"]
    assert store.sweep() == 1


def test_the_index_of_a_user_without_sessions_is_removed(folder: Path) -> None:
    now = [time.time()]
    store = FileStore(folder, clock=lambda: now[0])
    for number in range(4):
        store.create(f"{number:064x}", {}, f"user {number}", HOUR)
    store.create(KEY, {}, "user 0", HOUR)
    store.delete(f"{0:064x}")
    store.delete(f"{1:064x}")
    path(folder, f"{2:064x}").unlink()  # a session that is gone, as its writer died before it was made
    assert store.keys_of("user 2") == []
    assert store.keys_of("user 0") == [KEY]
    assert len(list((folder / "users").iterdir())) == 2
    now[0] += 4000
    assert store.sweep() == 2
    assert list((folder / "users").iterdir()) == []


def test_logins_and_logouts_of_one_user_at_once_lose_no_session(store: FileStore) -> None:
    """A login writes into the user's folder while a logout takes that away, as soon as it is empty."""
    store.ping()

    def come_and_go(number: int) -> None:
        for turn in range(40):
            key = f"{number:02x}{turn:062x}"
            store.create(key, {}, "alice", HOUR)
            assert key in store.keys_of("alice")
            if turn < 39:
                store.delete(key)

    processes = [in_process(lambda number=number: come_and_go(number)) for number in range(3)]  # type: ignore[misc]
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert len(store.keys_of("alice")) == 3
