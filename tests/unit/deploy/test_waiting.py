"""Looks again and again, at the pace of what they take."""

import threading

from deploy.waiting import look_until


class Stopping(threading.Event):
    """Notes for how long it is waited for, and is set after three waits."""

    def __init__(self) -> None:
        super().__init__()
        self.waited: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waited.append(timeout)
        return len(self.waited) > 3


def test_the_first_look_waits_for_nothing_and_later_ones_for_what_the_last_took() -> None:
    took: list[float] = []

    def pause(seconds: float) -> float:
        took.append(seconds)
        return 10 + len(took)

    stopping = Stopping()
    assert len(list(look_until(stopping, pause))) == 3
    assert stopping.waited == [0.0, 11, 12, 13]
    assert all(0 <= seconds < 1 for seconds in took)
