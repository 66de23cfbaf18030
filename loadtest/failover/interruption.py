"""Ctrl-C and other signals that ask for the end: heard once, and not in the middle of an undo."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Each of the signals is a KeyboardInterrupt, but the first alone: whoever is cleaning up is not interrupted."""

    def interrupt(*_: object) -> None:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in _SIGNALS}
    try:
        yield
    finally:
        _restore(before)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """What asks for the end in here is heard when the block is left."""
    came: list[tuple[int, FrameType | None]] = []
    before = {number: signal.signal(number, lambda *signalled: came.append(signalled)) for number in _SIGNALS}
    try:
        yield
    finally:
        _restore(before)
    if came:
        number, frame = came[0]
        handler = before[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)


def _restore(before: "dict[signal.Signals, signal._HANDLER]") -> None:
    for number, handler in before.items():
        signal.signal(number, handler)
