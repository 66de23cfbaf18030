"""A writer that is killed at any of its system calls leaves the old record or the new one, and nothing else for long.

The writer is a process of its own that SIGKILL ends right before its n-th system call, for every n until it gets
through. A run under strace checks that these are all of its calls.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nodes.sessions import Changes, FileStore, Record
from tests.support.records import HOUR, KEY, OTHER

CALLS = [
    "open",
    "close",
    "read",
    "write",
    "fstat",
    "fsync",
    "rename",
    "unlink",
    "utime",
    "mkdir",
    "scandir",
    "stat",
    "rmdir",
]
MOST_CALLS = 2000
ROOT = Path(__file__).parents[3]

Operation = Callable[[FileStore], Any]


def create(store: FileStore) -> Any:
    return store.create(OTHER, {"a": b"1"}, "alice", HOUR)


def update(store: FileStore) -> Any:
    return store.update(KEY, Changes({"a": b"2", "b": b"x" * 100}), HOUR)


def delete(store: FileStore) -> Any:
    return store.delete(KEY)


def quarantine(store: FileStore) -> Any:
    store.quarantine(KEY)


def list_user(store: FileStore) -> Any:
    return store.keys_of("alice")


def state(store: FileStore) -> tuple[dict[str, bytes] | None, dict[str, bytes] | None]:
    def fields(record: Record | None) -> dict[str, bytes] | None:
        return dict(record.fields) if record else None

    return fields(store.load(KEY)), fields(store.load(OTHER))


BEFORE = ({"a": b"1"}, None)
AFTER: dict[Operation, tuple[Any, Any]] = {
    create: ({"a": b"1"}, {"a": b"1"}),
    update: ({"a": b"2", "b": b"x" * 100}, None),
    delete: (None, None),
    quarantine: (None, None),
    list_user: BEFORE,
}


def before_each_call(act: Callable[[], None]) -> None:
    """Have this process call `act` right before each of its system calls on files."""

    def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            act()
            return original(*args, **kwargs)

        return wrapped

    for name in CALLS:
        setattr(os, name, wrap(getattr(os, name)))
    fcntl.flock = wrap(fcntl.flock)


def die_before(call: int) -> None:
    """Kill this process right before its system call of this number."""
    left = iter(range(call))
    before_each_call(lambda: None if next(left, None) is not None else os.kill(os.getpid(), signal.SIGKILL))


def run_until_killed(folder: Path, operation: Operation, call: int) -> bool:
    """Return whether the writer was killed before it was through."""
    child = os.fork()
    if child == 0:  # no way back into pytest from here
        status = 1
        try:
            store = FileStore(folder)
            store.ping()
            die_before(call)
            operation(store)
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


@pytest.mark.parametrize("operation", AFTER, ids=lambda operation: operation.__name__)
def test_a_writer_killed_at_any_system_call_leaves_the_old_record_or_the_new_one(
    memory_folder: Path, operation: Operation, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    for call in range(MOST_CALLS):
        folder = memory_folder / str(call)
        store = FileStore(folder)
        store.create(KEY, {"a": b"1"}, "alice", HOUR)
        was_killed = run_until_killed(folder, operation, call)
        after = state(store)
        assert after in (BEFORE, AFTER[operation]), f"killed before call {call}"
        seen.append(after)
        assert store.keys_of("alice") == [key for key, fields in zip((KEY, OTHER), after, strict=True) if fields]
        # No lock stays, and a sweep removes the temporary file of the dead writer.
        assert store.update(KEY, Changes({"c": b"3"}), HOUR) is not None
        with monkeypatch.context() as patch:
            now = time.time()
            patch.setattr(time, "time", lambda now=now: now + 61)
            store.sweep()
        assert list(folder.rglob("*.new")) == []
        shutil.rmtree(folder)
        if not was_killed:
            break
    assert not was_killed
    assert seen[-1] == AFTER[operation]
    assert seen == sorted(seen, key=lambda after: after == AFTER[operation])  # once it is the new one, it stays


def test_a_sweeper_that_is_killed_removes_only_what_has_expired(memory_folder: Path) -> None:
    for call in [*range(0, 60, 2), *range(60, 3000, 197)]:
        folder = memory_folder / str(call)
        past = FileStore(folder, clock=lambda: time.time() - 10_000)
        past.create(KEY, {"a": b"1"}, "alice", HOUR)
        store = FileStore(folder)
        store.create(OTHER, {"a": b"1"}, "alice", HOUR)
        run_until_killed(folder, lambda store: store.sweep(), call)
        assert state(store) == (None, {"a": b"1"})
        assert store.keys_of("alice") == [OTHER]
        store.sweep()
        assert not (folder / KEY[:2] / KEY).exists()
        shutil.rmtree(folder)


def print_calls(folder: Path) -> None:
    """Print how many calls each operation made, as counted here, with a getppid before and after each for strace."""
    made: list[int] = []
    before_each_call(lambda: made.append(1))
    for number, operation in enumerate(AFTER):
        store = FileStore(folder / str(number))
        store.create(KEY, {"a": b"1"}, "alice", HOUR)
        made.clear()
        os.getppid()
        operation(store)
        os.getppid()
        print(len(made))


def test_the_counted_calls_are_all_system_calls_on_files(memory_folder: Path) -> None:
    if shutil.which("strace") is None:
        if os.environ.get("REQUIRE_ALL") == "1":
            pytest.fail("REQUIRE_ALL=1, but there is no `strace` in PATH", pytrace=False)
        pytest.skip("no strace")
    trace = memory_folder / "trace"
    code = f"from {__name__} import *; print_calls(Path({str(memory_folder)!r}))"
    strace = ["strace", "-o", str(trace), "-e", "trace=%file,%desc,getppid,flock"]
    run = subprocess.run([*strace, sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    operations = trace.read_text().split("getppid()")[1::2]
    for operation, traced, counted in zip(AFTER, operations, run.stdout.split(), strict=True):
        lines = [line for line in traced.splitlines()[1:] if re.match(r"[a-z]", line)]
        # Python's own: listing a folder is several calls, and opening one duplicates the descriptor.
        own = r"(getdents64|dup|fcntl|lseek|newfstatat\(\d+, \"\"|brk|mmap)"
        calls = [line for line in lines if not re.match(own, line)]
        listed = sum("getdents64" in line for line in lines)
        message = "\n".join([operation.__name__, *lines])
        assert int(counted) - 4 <= len(calls) <= int(counted) + 2 * listed, message
