"""Virtual users whose browser has several tabs: what they do at the same time is done to one session."""

import itertools
import random
from collections.abc import Callable

import gevent
from locust import task

from loadtest.ledger import Action, Answer, Judgement, Login, Operation, Outcome
from loadtest.observation import Observation
from loadtest.old_users import FRUIT, SessionUser

TABS = 5
ROUND = 6  # operations of a tab before all of them come to rest
# Long enough for each tab to have a request or two answered, so that some are in flight when the logout comes.
HEAD_START = (0.005, 0.05)


class Tabs(SessionUser):
    """A browser with several tabs, each of them a `who` of its own.

    No tab can know what the others do meanwhile, so the ledger judges nothing here; the checker does, over the history.
    """

    abstract = True

    def of(self, who: str, operation: Operation, cookie: str | None = None) -> Observation:
        """What one tab does."""
        return self.send(operation, who, None, self._unjudged, cookie)

    def together(self, work: Callable[[str], None]) -> "list[gevent.Greenlet[..., None]]":
        """The tabs, at work."""
        return [gevent.spawn(work, f"{self.who}/tab-{number}") for number in range(1, TABS + 1)]

    def wait_for(self, tabs: "list[gevent.Greenlet[..., None]]") -> None:
        """Wait for all of them; what goes wrong in one goes wrong here."""
        try:
            gevent.joinall(tabs, raise_error=True)
        finally:
            gevent.killall(tabs)  # of a user that is stopped, nothing goes on

    def open_session(self) -> bool:
        """Log in, with one tab; whether that succeeded."""
        self.log_in()
        return self.expected.login is Login.IN

    def _unjudged(self, _answer: Answer) -> Judgement:
        return Judgement(frozenset(), False, self.expected)


def writes(who: str) -> "itertools.cycle[Operation]":
    """What a tab does, over and over, beginning anywhere: writes above all, to what all tabs share and to its own."""
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


class SharedWriter(Tabs):
    """All tabs write to one session at once, then one looks whether everything is there."""

    _open = False

    def on_start(self) -> None:
        self._open = self.open_session()

    @task
    def write_together(self) -> None:
        if not self._open:
            self._open = self.open_session()
            return
        self.wait_for(self.together(self._write))
        look = self.of(self.who, Operation(Action.LOOK))
        if look.answer.outcome is Outcome.OK and look.answer.user is None:
            self._open = self.open_session()

    def _write(self, who: str) -> None:
        for operation in itertools.islice(writes(who), ROUND):
            self.of(who, operation)


class LogoutRacer(Tabs):
    """All tabs write while one logs out. Afterwards every cookie that there is must be nobody's."""

    _over = False

    def on_start(self) -> None:
        """Each round logs in anew."""

    @task
    def race(self) -> None:
        if not self.open_session():
            return
        self._over = False
        tabs = self.together(self._write_on)
        try:
            gevent.sleep(random.uniform(*HEAD_START))  # noqa: S311
            self.of(self.who, Operation(Action.LOGOUT))
        finally:
            self._over = True
            self.wait_for(tabs)
        self.of(self.who, Operation(Action.LOOK))
        self.of(self.who, Operation(Action.ACCOUNT))
        for cookie in self.browser.brought[:TABS]:
            self.of(self.who, Operation(Action.ACCOUNT), cookie)

    def _write_on(self, who: str) -> None:
        """Until the logout is over, and once more."""
        for operation in writes(who):
            last = self._over
            self.of(who, operation)
            if last:
                return
