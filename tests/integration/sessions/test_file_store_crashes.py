"""A writer that is killed at any of its system calls leaves the old record or the new one, and nothing else for long.

The writer is a process of its own that SIGKILL ends right before its n-th system call, for every n until it gets
through. That these are all of its calls is checked under strace.
"""

from __future__ import annotations

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

CALLS = (
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
)
MOST_CALLS = 2000

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


def die_before(call: int) -> None:
    """Kills this process right before its system call of this number."""
    import fcntl

    left = [call]

    def counted(original: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*args, **kwargs)

        return wrapped

    for name in CALLS:
        setattr(os, name, counted(getattr(os, name)))
    fcntl.flock = counted(fcntl.flock)


def run_until_killed(folder: Path, operation: Operation, call: int) -> bool:
    """Whether the writer was killed before it was through."""
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
def test_killed_at_any_system_call_it_leaves_the_old_or_the_new(
    tmp_path: Path, operation: Operation, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    for call in range(MOST_CALLS):
        folder = tmp_path / str(call)
        store = FileStore(folder)
        store.create(KEY, {"a": b"1"}, "alice", HOUR)
        was_killed = run_until_killed(folder, operation, call)
        after = state(store)
        assert after in (BEFORE, AFTER[operation]), f"killed before call {call}"
        seen.append(after)
        assert store.keys_of("alice") == [key for key, fields in zip((KEY, OTHER), after, strict=True) if fields]
        # No lock stays, and whatever the dead writer left is gone after a sweep.
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


def test_a_sweeper_that_is_killed_removes_only_what_has_expired(tmp_path: Path) -> None:
    for call in [*range(60), *range(60, 3000, 97)]:
        folder = tmp_path / str(call)
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


@pytest.mark.parametrize("operation", AFTER, ids=lambda operation: operation.__name__)
def test_no_system_call_on_files_was_left_out(tmp_path: Path, operation: Operation) -> None:
    if shutil.which("strace") is None:
        if os.environ.get("REQUIRE_ALL") == "1":
            pytest.fail("REQUIRE_ALL=1, but there is no `strace` in PATH", pytrace=False)
        pytest.skip("no strace")
    script = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parents[3])!r})
from pathlib import Path
from tests.integration.sessions import test_file_store_crashes as crashes
store = crashes.FileStore(Path({str(tmp_path / "sessions")!r}))
store.create(crashes.KEY, {{"a": b"1"}}, "alice", crashes.HOUR)
store.ping()
os.getppid()
counts = {{}}
def counted(name, original):
    def wrapped(*args, **kwargs):
        counts[name] = counts.get(name, 0) + 1
        return original(*args, **kwargs)
    return wrapped
if len(sys.argv) > 1:
    import fcntl
    for name in crashes.CALLS:
        setattr(os, name, counted(name, getattr(os, name)))
    fcntl.flock = counted("flock", fcntl.flock)
crashes.{operation.__name__}(store)
os.getppid()
print(sum(counts.values()))
"""
    counted = int(
        subprocess.run([sys.executable, "-c", script, "count"], capture_output=True, text=True, check=True).stdout
    )
    shutil.rmtree(tmp_path / "sessions")
    trace = tmp_path / "trace"
    subprocess.run(
        ["strace", "-o", str(trace), "-e", "trace=%file,%desc,getppid,flock", sys.executable, "-c", script],
        check=True,
        capture_output=True,
    )
    between = trace.read_text().split("getppid()")[1:-1]
    lines = [line for line in "".join(between).splitlines()[1:] if re.match(r"[a-z]", line)]
    # Python's own: listing a folder is several calls, and opening one duplicates the descriptor.
    calls = [
        line for line in lines if not re.match(r"(getdents64|dup|fcntl|lseek|newfstatat\(\d+, \"\"|brk|mmap)", line)
    ]
    assert len(calls) <= counted + 2 * sum("getdents64" in line for line in lines), "\n".join(lines)
    assert len(calls) >= counted - 4
