"""State of a process that its children must not share: connections, locks, threads."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class _PerProcess(Protocol):
    def _reset(self) -> None: ...


_per_process: weakref.WeakSet[_PerProcess] = weakref.WeakSet()


def reset_in_children(owner: _PerProcess) -> None:
    """Call `owner._reset()` now and in each child process."""
    owner._reset()
    _per_process.add(owner)


def _reset_all() -> None:
    for owner in list(_per_process):
        owner._reset()


os.register_at_fork(after_in_child=_reset_all)
