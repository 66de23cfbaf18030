"""The file store beyond the contract: faults of the disk, several processes, files that an attacker plants."""

from __future__ import annotations

import contextlib
import errno
import logging
import multiprocessing
import os
import resource
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from nodes.sessions import Changes, FileStore, Outcome, SessionTooLarge, StoreUnavailable
from nodes.sessions.stores.file.io import lock
from nodes.sessions.stores.file.layout import FORMAT
from tests.support.harnesses.file import FileHarness
from tests.support.records import HOUR, fields_of, load

KEY, OTHER = "a" * 64, "ab" + "c" * 62
FORK = multiprocessing.get_context("fork")


@pytest.fixture
def harness(memory_folder: Path) -> FileHarness:
    return FileHarness(memory_folder / "sessions")


@pytest.fixture
def store(harness: FileHarness) -> FileStore:
    return harness.file


@pytest.fixture
def folder(harness: FileHarness) -> Path:
    return harness.folder


@pytest.fixture
def pass_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Turn the system's clock, by which files that are not sessions grow old."""

    def turn(seconds: float) -> None:
        later = time.time() + seconds
        monkeypatch.setattr(time, "time", lambda: later)

    return turn


@contextlib.contextmanager
def held_by_another_process(hold: Callable[[], contextlib.AbstractContextManager[Any]]) -> Iterator[Any]:
    """Have another process inside `hold()` until the end of the block, or until the block kills it."""
    ours, theirs = FORK.Pipe()

    def run() -> None:
        with hold():
            theirs.send("started")
            theirs.poll(30)

    process = FORK.Process(target=run)
    process.start()
    assert ours.poll(10)
    try:
        yield process
    finally:
        ours.send("go on")
        process.join(10)


def in_processes(*calls: Callable[[], object]) -> None:
    """Run the calls in parallel, each in a process of its own. All must succeed."""
    processes = [FORK.Process(target=call) for call in calls]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * len(calls)


def test_a_session_that_moves_after_the_index_was_read_is_found(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.create(KEY, {}, "alice", HOUR)
    read, moves = store._indexed_keys, [(KEY, OTHER)]

    def move_after_read(owner: str) -> set[str]:
        found = read(owner)
        while moves:
            old, new = moves.pop()
            store.create(new, {}, "alice", HOUR)
            store.delete(old)
        return found

    monkeypatch.setattr(store, "_indexed_keys", move_after_read)
    assert store.keys_of("alice") == [OTHER]


# ---- access


def test_folders_and_files_are_for_their_user_only(folder: Path, store: FileStore) -> None:
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
def test_only_a_key_becomes_the_name_of_a_file(store: FileStore, key: str) -> None:
    create = partial(store.create, fields={}, owner=None, lifetime=HOUR)
    for call in (store.load, store.delete, store.quarantine, create):
        with pytest.raises(ValueError, match="a key must be"):
            call(key)


@pytest.mark.parametrize("owner", ["../../x", "/etc", "a\0b", "", "." * 300])
def test_no_owner_becomes_a_path(folder: Path, store: FileStore, owner: str) -> None:
    store.create(KEY, {}, owner, HOUR)
    assert store.keys_of(owner) == [KEY]
    assert {each.parent.parent for each in folder.rglob(KEY)} <= {folder, folder / "users"}


def test_no_symbolic_link_to_a_file_is_followed(harness: FileHarness, store: FileStore, tmp_path: Path) -> None:
    store.create(OTHER, {"a": b"1"}, None, HOUR)
    path, outside = harness.path(OTHER), tmp_path / "outside"
    before = path.read_bytes()
    path.unlink()
    outside.write_bytes(before)
    path.symlink_to(outside)
    assert store.load(OTHER) is None
    assert not path.is_symlink()
    path.symlink_to(outside)
    assert store.update(OTHER, Changes({"a": b"2"}), HOUR) is Outcome.ABSENT
    path.symlink_to(outside)
    assert store.create(OTHER, {"a": b"3"}, None, HOUR) is not None
    assert outside.read_bytes() == before


def test_a_shard_that_is_a_symbolic_link_is_refused(folder: Path, store: FileStore, tmp_path: Path) -> None:
    store.ping()
    (folder / KEY[:2]).symlink_to(tmp_path)
    with pytest.raises(StoreUnavailable):
        store.create(KEY, {"a": b"1"}, None, HOUR)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("plant", [os.mkfifo, os.mkdir])
def test_what_is_not_a_regular_file_is_quarantined_without_blocking(
    harness: FileHarness, store: FileStore, plant: Callable[[Path], None], pass_time: Callable[[float], None]
) -> None:
    assert store.load(KEY) is None
    plant(harness.path(KEY))
    assert store.load(KEY) is None
    assert not harness.path(KEY).exists()
    pass_time(86_500)
    assert store.sweep() == 0  # a quarantined folder stops no sweep


# ---- corrupt records


@pytest.mark.parametrize("data", [b"", b"\0" * 80, b"\x80\x04\x95pickled"])
def test_a_corrupt_file_is_quarantined_once(
    harness: FileHarness, store: FileStore, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    store.create(KEY, {"a": b"1"}, "alice", HOUR)
    harness.path(KEY).write_bytes(data)
    with caplog.at_level(logging.ERROR):
        assert store.load(KEY) is None
        assert store.load(KEY) is None
    assert [KEY in record.getMessage() for record in caplog.records] == [True]
    (kept,) = (harness.folder / "damaged").iterdir()
    assert kept.name.startswith(KEY)
    assert kept.read_bytes() == data
    assert store.create(KEY, {"b": b"2"}, None, HOUR) is not None


# ---- faults of the disk


@contextlib.contextmanager
def limited_file_size(size: int) -> Iterator[None]:
    """Let no file of this process grow past `size` bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_refuses_the_write_and_loses_nothing(folder: Path, store: FileStore) -> None:
    store.create(KEY, {"a": b"1"}, "alice", HOUR)
    with limited_file_size(1000):
        with pytest.raises(StoreUnavailable):
            store.update(KEY, Changes({"a": b"x" * 5000}), HOUR)
        with pytest.raises(StoreUnavailable):
            store.create(OTHER, {"a": b"x" * 5000}, "bob", HOUR)
        assert fields_of(store, KEY) == {"a": b"1"}
        assert store.load(OTHER) is None
        store.delete(KEY)
        assert store.load(KEY) is None
    assert store.keys_of("bob") == []
    assert list(folder.rglob("*.new")) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS, errno.EMFILE])
@pytest.mark.parametrize("call", ["open", "write", "fsync", "rename", "utime"])
def test_every_error_of_the_system_means_unavailable(
    store: FileStore, call: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.create(KEY, {"a": b"1"}, None, HOUR)

    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(StoreUnavailable, match=os.strerror(number)):
            store.update(KEY, Changes({"a": b"2"}), HOUR)
    assert fields_of(store, KEY) in ({"a": b"1"}, {"a": b"2"} if call == "fsync" else None)


def test_a_file_above_the_bound_is_unknown_until_its_logout(store: FileStore, folder: Path) -> None:
    store.create(KEY, {"a": b"1"}, None, HOUR)
    os.truncate(folder / KEY[:2] / KEY, 400 * 1024 * 1024)
    for call in (lambda: store.load(KEY), lambda: store.update(KEY, Changes({"a": b"2"}), HOUR)):
        with pytest.raises(StoreUnavailable, match="this node reads at most 67108864"):
            call()
    os.utime(folder / KEY[:2] / KEY, (1, 1))
    assert store.sweep() == 0
    store.delete(KEY)
    assert store.load(KEY) is None


def test_a_session_that_no_process_could_read_is_not_written(folder: Path) -> None:
    store = FileStore(folder, max_record=1000)
    store.create(KEY, {"a": b"1"}, None, HOUR)
    with pytest.raises(SessionTooLarge, match="at most 1000 bytes"):
        store.update(KEY, Changes({"a": bytes(1000)}), HOUR)
    assert fields_of(store, KEY) == {"a": b"1"}


# ---- several processes


def test_nothing_waits_for_a_lock_longer_than_its_timeout(folder: Path) -> None:
    store = FileStore(folder, lock_timeout=0.2)
    store.create(KEY, {"a": b"1"}, None, HOUR)
    with held_by_another_process(lambda: store._folders.lock_shard(KEY)) as process:
        assert fields_of(store, KEY) == {"a": b"1"}
        with pytest.raises(StoreUnavailable, match="locked"):
            store.update(KEY, Changes({"a": b"2"}), HOUR)
        process.kill()
        process.join(10)
        assert store.update(KEY, Changes({"a": b"2"}), HOUR) is Outcome.APPLIED  # the kernel released the lock


def test_of_several_processes_one_creates_a_session_and_all_count_in_it(store: FileStore) -> None:
    created = FORK.Queue()

    def count() -> None:
        created.put(store.create(KEY, {"n": b"0"}, None, HOUR) is not None)
        for _ in range(25):
            outcome = Outcome.CONFLICT
            while outcome is not Outcome.APPLIED:
                before = load(store, KEY).fields["n"]
                outcome = store.update(KEY, Changes({"n": b"%d" % (int(before) + 1)}, expect={"n": before}), HOUR)

    in_processes(*[count] * 4)
    assert sorted(created.get(timeout=30) for _ in range(4)) == [False, False, False, True]
    assert fields_of(store, KEY) == {"n": b"100"}


def test_a_logout_that_removes_the_users_folder_disturbs_no_login(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.create(KEY, {}, "alice", HOUR)
    original = os.open

    def log_out_before_entry(path: str, flags: int, *more: Any, **keywords: Any) -> int:
        if path == OTHER and flags & os.O_CREAT:
            monkeypatch.setattr(os, "open", original)
            store.delete(KEY)
        return original(path, flags, *more, **keywords)

    monkeypatch.setattr(os, "open", log_out_before_entry)
    store.create(OTHER, {}, "alice", HOUR)
    assert store.keys_of("alice") == [OTHER]


# ---- sweeps


def test_one_process_sweeps_at_a_time(harness: FileHarness, store: FileStore) -> None:
    store.create(KEY, {}, "alice", HOUR)
    harness.advance(4000)

    @contextlib.contextmanager
    def sweeping() -> Iterator[None]:
        with store._folders.open_root() as root, lock("sweeping", root, 0) as is_mine:
            assert is_mine
            yield

    with held_by_another_process(sweeping):
        assert store.sweep() == 0
    assert store.sweep() == 1
    assert list(harness.folder.rglob(KEY)) == []


def test_a_sweep_leaves_a_session_that_was_touched_meanwhile(harness: FileHarness, store: FileStore) -> None:
    store.create(KEY, {"a": b"1"}, None, HOUR)
    os.utime(harness.path(KEY), (0.5, 0.5))  # what the sweeper saw before another process touched the session
    assert store.sweep() == 0
    assert fields_of(store, KEY) == {"a": b"1"}


def test_a_sweep_removes_the_temporary_files_of_dead_writers_only(
    folder: Path, store: FileStore, pass_time: Callable[[float], None]
) -> None:
    store.create(KEY, {"a": b"1"}, None, HOUR)
    left = folder / KEY[:2] / ".0123.new"
    left.write_bytes(b"half")
    store.sweep()
    assert left.exists()
    pass_time(61)
    store.sweep()
    assert not left.exists()


@pytest.fixture
def expired(harness: FileHarness) -> list[str]:
    """The keys of five expired sessions of one shard, in the order of a sweep."""
    for number in range(5):
        harness.file.create(f"ab{number:062x}", {"a": b"1"}, f"user {number}", HOUR)
    harness.advance(4000)
    return [entry.name for entry in os.scandir(harness.folder / "ab") if len(entry.name) == 64]


def replace_keeping_time(file: Path, change: Callable[[], object]) -> None:
    """Change a file so that it still says when its session expires, as a disk does that loses bits."""
    modified = file.stat().st_mtime
    change()
    os.utime(file, (modified, modified))


def test_a_sweep_goes_on_past_records_of_a_later_version(
    harness: FileHarness, store: FileStore, expired: list[str]
) -> None:
    for key in expired[:3]:
        replace_keeping_time(harness.path(key), partial(harness.set_format, key, FORMAT + 1))
    assert [store.sweep(2), store.sweep(2)] == [2, 0]
    assert sorted(path.name for path in (harness.folder / "ab").glob("ab*")) == sorted(expired[:3])


def test_a_sweep_quarantines_corrupt_records_for_a_day(
    harness: FileHarness,
    store: FileStore,
    expired: list[str],
    pass_time: Callable[[float], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    for key in expired[:3]:
        replace_keeping_time(harness.path(key), partial(harness.damage, key))
    reported: list[str] = []
    with caplog.at_level(logging.ERROR):
        assert [store.sweep(2, reported.append) for _ in range(4)] == [2, 2, 1, 0]
    assert sorted(reported) == sorted(expired[3:])
    assert len(caplog.records) == 3
    assert list((harness.folder / "ab").glob("ab*")) == []
    assert len(list((harness.folder / "damaged").iterdir())) == 3
    pass_time(86_500)
    store.sweep()
    assert list((harness.folder / "damaged").iterdir()) == []


def test_a_locked_shard_keeps_no_other_shard_from_being_swept(harness: FileHarness) -> None:
    for shard in ("20", "40", "60"):
        harness.file.create(shard + "0" * 62, {}, None, HOUR)
    store = FileStore(harness.folder, lock_timeout=0.05, clock=lambda: time.time() + 4000)
    with held_by_another_process(lambda: store._folders.lock_shard("40" + "0" * 62)):
        for _ in range(2):  # the second begins behind the shard at which the first one stopped
            with pytest.raises(StoreUnavailable, match="locked"):
                store.sweep()
        assert [path.name[:2] for path in harness.folder.glob("??/*") if len(path.name) == 64] == ["40"]
    assert store.sweep() == 1


def test_a_user_without_sessions_leaves_nothing_in_the_index(harness: FileHarness, store: FileStore) -> None:
    users = harness.folder / "users"
    for number in range(4):
        store.create(f"{number:064x}", {}, f"user {number}", HOUR)
    store.create(KEY, {}, "user 0", HOUR)
    store.delete(f"{0:064x}")
    store.delete(f"{1:064x}")
    harness.path(f"{2:064x}").unlink()  # as if its writer had died between the index and the session
    assert store.keys_of("user 2") == []
    assert store.keys_of("user 0") == [KEY]
    assert len(list(users.iterdir())) == 2
    harness.advance(4000)
    assert store.sweep() == 2
    assert list(users.iterdir()) == []


def test_ending_many_sessions_waits_for_the_disk_once_for_each_shard(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, keys = FileStore(folder), [f"{number % 3:02x}{number:062x}" for number in range(30)]
    for key in keys:
        store.create(key, {}, "alice", HOUR)
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    assert sorted(store.end_many(keys)) == sorted(keys)
    assert len(synced) == 3


def test_the_disk_has_the_end_of_many_sessions_before_the_index_forgets_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, keys = FileStore(folder), [f"{number:064x}" for number in range(3)]
    for key in keys:
        store.create(key, {}, "alice", HOUR)
    indexed: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda _: indexed.append(len(list(folder.glob("users/*/*")))))
    store.end_many(keys)
    assert indexed == [3]
    assert list(folder.glob("users/*/*")) == []


UNDER_GEVENT = """
from gevent import monkey; monkey.patch_all()
import gevent, os, sys
from nodes.sessions import FileStore, Lifetime
gevent.sleep(0)
store, keys = FileStore(sys.argv[1]), [f"{number:064x}" for number in range(50)]
before = len(os.listdir("/proc/self/fd"))
for key in keys:
    store.create(key, {}, "alice", Lifetime(600, 600))
assert len(store.keys_of("alice")) == len(keys)
print(len(os.listdir("/proc/self/fd")) - before)
"""


def test_no_folder_stays_open_under_gevent_until_the_worker_waits(folder: Path) -> None:
    command = [sys.executable, "-c", UNDER_GEVENT, str(folder)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "0\n"


BESIDE_OTHERS = """
from gevent import monkey; monkey.patch_all()
import gevent, socket, sys
from gevent.server import StreamServer
from nodes.sessions import FileStore, Lifetime, Sweeper
from nodes.sessions.capabilities import ENDED_AT_ONCE
from nodes.sessions.users import end_all

store = FileStore(sys.argv[1], durable=False)
keys = [f"{number % 256:02x}{number:062x}" for number in range(10 * ENDED_AT_ONCE)]
for key in keys:
    store.create(key, {}, "alice", Lifetime(600, 600))
served, turns, busy = [], [], True
server = StreamServer(("127.0.0.1", 0), lambda client, _address: (served.append(busy), client.close()))
server.start()

def visit():
    while busy:
        with socket.create_connection(server.address) as client:
            client.recv(1)

def turn():
    while busy:
        turns.append(1)
        gevent.sleep(0.0001)  # comes back only when the loop has looked for requests

gevent.spawn(visit), gevent.spawn(turn)
gevent.sleep(0.01)
served.clear(), turns.clear()
if sys.argv[2] == "end":
    assert end_all(store, lambda: store.keys_of("alice"), lambda _: None) == len(keys)
elif sys.argv[2] == "list":
    assert len(store.keys_of("alice")) == len(keys)
else:
    assert store.sweep() == 0
busy = False
print(len(served), len(turns))
"""


@pytest.mark.parametrize("work", ["end", "list", "sweep"])
def test_under_gevent_others_are_served_while_thousands_of_sessions_are_worked_on(folder: Path, work: str) -> None:
    command = [sys.executable, "-c", BESIDE_OTHERS, str(folder), work]
    served, turns = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert int(served) >= 1
    assert int(turns) >= 9  # ten portions
