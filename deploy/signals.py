"""Signals that ask a command to end: SIGINT (Ctrl-C), SIGTERM, SIGHUP (a closed terminal)."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """Ended by the signal `number`."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise Interrupted at the first signal and ignore later ones during the clean-up.

    A signal that is ignored from the start stays ignored: shells ignore SIGINT for programs in the background, nohup
    ignores SIGHUP.
    """

    def interrupt(number: int, _: FrameType | None) -> None:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        raise Interrupted(number)

    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, interrupt)
    try:
        yield
    finally:
        _restore(before)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold these signals until the block is left, also by an exception."""
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
