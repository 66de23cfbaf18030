"""Virtual users whose browser has several tabs: they use one session at the same time."""

import itertools
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial

import gevent
from locust import task

from loadtest.history import Action, OpOutcome
from loadtest.operations import Operation
from loadtest.users import FRUIT, SessionUser

ROUND = 6  # operations of each tab before all tabs pause
ROUNDS = 5  # of one session, where its list can't be emptied and would grow without end
# Long enough for each tab to have a request or two answered, so that some are in flight when the logout comes.
HEAD_START = (0.005, 0.05)


@contextmanager
def concurrently(*works: Callable[[], None]) -> Iterator[None]:
    """Run these beside the block, and wait for them. Raises their first error; an error of the block ends them."""
    greenlets = [gevent.spawn(work) for work in works]
    try:
        yield
        gevent.joinall(greenlets, raise_error=True)
    finally:
        gevent.killall(greenlets)  # none outlives its user


class ConcurrentUser(SessionUser):
    """A browser with several tabs, each of them a `who` of its own in the history.

    A tab does not know what the others do meanwhile, so it accepts every answer.
    """

    abstract = True
    tabs = 5

    def in_all_tabs(self, work: Callable[[str], None]) -> AbstractContextManager[None]:
        """Let all tabs work beside the block of the context manager."""
        return concurrently(*(partial(work, f"{self.who}/tab-{number}") for number in range(1, self.tabs + 1)))

    def open_session(self) -> bool:
        """Log in, with one tab. Return True if that succeeded."""
        self.log_in()
        return self.expectation.is_logged_in


def writes(who: str) -> "itertools.cycle[Operation]":
    """Return endless operations of a tab, from a random one on: mostly writes, to shared items and to its own."""
    shared, own = random.choice(FRUIT), f"{random.choice(FRUIT)} of {who}"  # noqa: S311  # no secret
    work = [
        Operation(Action.VISIT),
        Operation(Action.ADD, f"{shared} of all tabs", 1),
        Operation(Action.VISIT),
        Operation(Action.ADD, own, 1),
        Operation(Action.LOOK),
    ]
    begin = random.randrange(len(work))  # noqa: S311
    return itertools.cycle(work[begin:] + work[:begin])


class SharedWriter(ConcurrentUser):
    """All tabs write to one session at the same time, then one reads the result."""

    _open = False
    _rounds = 0

    def on_start(self) -> None:
        self._open = self.open_session()

    @task
    def write_together(self) -> None:
        if not self._open:
            self._open = self.open_session()
            return
        with self.in_all_tabs(self._write):
            pass
        look = self.send(Operation(Action.LOOK), self.who)
        self._rounds += 1
        full = self._rounds >= ROUNDS and not self.load.can(Action.EMPTY)
        if full or (look.outcome is OpOutcome.OK and look.user is None):
            self._open, self._rounds = self.open_session(), 0

    def _write(self, who: str) -> None:
        for operation in itertools.islice(writes(who), ROUND):
            self.send(operation, who)


class LogoutRacer(ConcurrentUser):
    """All tabs write while one logs out. Afterwards none of the cookies may be logged in."""

    needs = frozenset({Action.LOGOUT})
    _over = False

    def on_start(self) -> None:
        """Do nothing: each round logs in by itself."""

    @task
    def race(self) -> None:
        if not self.open_session():
            return
        self._over = False
        with self.in_all_tabs(self._write_on):
            gevent.sleep(random.uniform(*HEAD_START))  # noqa: S311
            self.send(Operation(Action.LOGOUT), self.who)
            self._over = True
        self.send(Operation(Action.LOOK), self.who)
        self.send(Operation(Action.ACCOUNT), self.who)
        for cookie in self.browser.brought[: self.tabs]:
            self.send(Operation(Action.ACCOUNT), self.who, cookie=cookie)

    def _write_on(self, who: str) -> None:
        """Write until the logout is over, and once more."""
        for operation in writes(who):
            last = self._over
            self.send(operation, who)
            if last:
                return
