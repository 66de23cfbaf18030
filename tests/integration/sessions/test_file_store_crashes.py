"""A writer that is killed at any moment leaves the old record or the new one, and nothing else for long.

The writer is a process of its own that SIGKILL ends right before its n-th call of the operating system, for every n
until it gets through. These calls are all functions of `os`, and flock.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import BuiltinFunctionType
from typing import Any

import pytest

from nodes.sessions import Changes, FileStore, Record, SessionMark
from tests.support.records import HOUR, KEY, OTHER

MOST_CALLS = 2000

Operation = Callable[[FileStore], Any]


def create(store: FileStore) -> Any:
    return store.create(OTHER, {"a": b"1"}, "alice", HOUR)


def update(store: FileStore) -> Any:
    return store.update(KEY, Changes({"a": b"2", "b": b"x" * 100}), HOUR)


def delete(store: FileStore) -> Any:
    store.delete(KEY)


def retire(store: FileStore) -> Any:
    return store.retire(KEY, SessionMark(b"next"))


def end_many(store: FileStore) -> Any:
    store.end_many([KEY, OTHER])


def quarantine(store: FileStore) -> Any:
    store.quarantine(KEY)


def list_user(store: FileStore) -> Any:
    return store.keys_of("alice")


def state(store: FileStore) -> tuple[dict[str, bytes] | None, dict[str, bytes] | None]:
    def fields(record: Record | SessionMark | None) -> dict[str, bytes] | None:
        return dict(record.fields) if isinstance(record, Record) else None

    return fields(store.load(KEY)), fields(store.load(OTHER))


BEFORE = ({"a": b"1"}, None)
AFTER: dict[Operation, tuple[Any, Any]] = {
    create: ({"a": b"1"}, {"a": b"1"}),
    update: ({"a": b"2", "b": b"x" * 100}, None),
    delete: (None, None),
    retire: (None, None),
    end_many: (None, None),
    quarantine: (None, None),
    list_user: BEFORE,
}


def die_before(call: int) -> None:
    """Kill this process right before its call of the operating system that has this number."""
    kill, this, left = os.kill, os.getpid(), iter(range(call))

    def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if next(left, None) is None:
                kill(this, signal.SIGKILL)
            return original(*args, **kwargs)

        return wrapped

    for name, function in vars(os).copy().items():
        if isinstance(function, BuiltinFunctionType):
            setattr(os, name, wrap(function))
    fcntl.flock = wrap(fcntl.flock)


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
