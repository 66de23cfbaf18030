"""Signals that ask for the end: heard once, and not during an undo."""

import os
import signal
import threading

import pytest

from deploy.signals import Interrupted, interruptible, uninterrupted
from tests.support.commands import default_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_undo_is_not_interrupted_and_the_signal_is_heard_afterwards(number: signal.Signals) -> None:
    done = []
    with default_signals(), pytest.raises(Interrupted) as interrupted, interruptible():
        with uninterrupted():
            os.kill(os.getpid(), number)
            threading.Event().wait(0.01)
            done.append("undone")
        done.append("never")
    assert done == ["undone"]
    assert interrupted.value.number == number


def test_a_signal_is_heard_after_an_undo_that_fails() -> None:
    with default_signals(), pytest.raises(Interrupted), interruptible(), uninterrupted():
        os.kill(os.getpid(), signal.SIGINT)
        threading.Event().wait(0.01)
        raise OSError


def test_only_the_first_signal_interrupts_so_that_cleaning_up_is_not_disturbed() -> None:
    done = []
    with default_signals(), pytest.raises(KeyboardInterrupt), interruptible():
        try:
            os.kill(os.getpid(), signal.SIGINT)
            threading.Event().wait(1)
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)
            done.append("cleaned up")
    assert done == ["cleaned up"]


def test_a_signal_that_is_ignored_from_the_start_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interruptible():
            os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
