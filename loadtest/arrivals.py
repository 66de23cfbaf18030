"""Requests that arrive on schedule, whether or not earlier ones were answered: an open loop.

Users wait for their answers, so they send a slow cluster fewer requests, and overload never shows. Arrivals come beside
the users: each is a greenlet of its own. They are recorded in the history of the run, and judged by the checker.
"""

import heapq
import itertools
import random
import time
from collections.abc import Callable
from typing import Any

import gevent
import gevent.pool
from geventhttpclient.client import HTTPClientPool

from loadtest.history import Action, OpOutcome
from loadtest.load_profile import ARRIVAL, Arrivals, Comers
from loadtest.operations import Operation
from loadtest.users import FRUIT, SessionUser

MEMBERS = 20
"""Browsers that are logged in once, and whose requests arrive."""
ACTIONS = ((Action.LOOK, 6), (Action.ACCOUNT, 1), (Action.VISIT, 2), (Action.ADD, 1))
"""What members do, and how often."""
POLL = 0.1
"""Seconds between two looks at what is wanted."""
_CONNECTIONS = 20_000


class Guest(SessionUser):
    """A browser whose requests arrive; several may be in flight, so it accepts every answer."""

    abstract = True


class ArrivalSource:
    """Sends the share (0 to 1) of process `number` of the arrivals that `wanted` returns ten times a second.

    `fail` is called with the error of a greenlet that failed.
    """

    def __init__(
        self,
        environment: Any,
        wanted: Callable[[], Arrivals],
        number: int,
        share: float,
        fail: Callable[[BaseException | None], None],
    ) -> None:
        Guest.host = environment.host
        # One pool for all: a request must not wait for a connection of its browser.
        Guest.client_pool = HTTPClientPool(
            concurrency=_CONNECTIONS,
            network_timeout=Guest.network_timeout,
            connection_timeout=Guest.connection_timeout,
            ssl_context_factory=Guest.ssl_context_factory,
            insecure=Guest.insecure,
            headers=Guest.default_headers,
        )
        self._environment, self._wanted, self._fail = environment, wanted, fail
        self._number, self._share = number, share
        self._chance = random.Random(number)  # noqa: S311  # no secret
        self._members: list[Guest] = []
        self._slots, self._free = itertools.count(1), list[int]()
        self._greenlets = gevent.pool.Group()
        self._now = Arrivals()
        self._looping = 0

    def start(self) -> None:
        """Send arrivals from now on."""
        self._spawn(self._run)

    def stop(self) -> None:
        """End all requests in flight, which are recorded as stopped."""
        self._greenlets.kill()

    def _run(self) -> None:
        due = time.monotonic()
        while True:
            self._now = arrivals = self._wanted()
            if arrivals.kind is Comers.MEMBERS and not self._members and (arrivals.rate or arrivals.in_flight):
                self._log_members_in()
            while self._looping < round(arrivals.in_flight * self._share):
                self._looping += 1
                self._spawn(self._repeat, self._looping)
            until = time.monotonic() + POLL
            if not arrivals.rate:
                due = until
            while (now := time.monotonic()) < until:
                while due <= now:  # what is late is sent at once, and none is left out
                    self._spawn(self._arrive, arrivals.kind)
                    due += self._chance.expovariate(arrivals.rate * self._share)
                gevent.sleep(min(due, until) - now)

    def _spawn(self, work: Callable[..., None], *arguments: Any) -> None:
        self._greenlets.spawn(work, *arguments).link_exception(lambda ended: self._fail(ended.exception))

    def _repeat(self, number: int) -> None:
        """Send one request after another while as many are wanted in flight."""
        while number <= round(self._now.in_flight * self._share):
            self._arrive(self._now.kind)
        self._looping -= 1

    def _arrive(self, kind: Comers) -> None:
        # Of one name at most one request is in flight, as the history demands.
        slot = heapq.heappop(self._free) if self._free else next(self._slots)
        try:
            who = f"{ARRIVAL}{self._number + 1}-{slot}"
            if kind is Comers.NEWCOMERS:
                Guest(self._environment).send(Operation(Action.VISIT), who)
                return
            member = self._chance.choice(self._members)
            op = member.send(self._operation(member), who)
            if op.outcome is OpOutcome.OK and op.user is None and op.session == member.browser.session:
                member.browser.fresh()
                member.send(Operation(Action.LOGIN), who)
        finally:
            heapq.heappush(self._free, slot)

    def _operation(self, member: Guest) -> Operation:
        action = self._chance.choices([one for one, _ in ACTIONS], [often for _, often in ACTIONS])[0]
        if action is Action.ADD:
            return Operation(action, f"{self._chance.choice(FRUIT)} of {member.who}", 1)
        return Operation(action)

    def _log_members_in(self) -> None:
        members = [Guest(self._environment) for _ in range(MEMBERS)]
        logins = gevent.pool.Group()
        for member in members:
            logins.spawn(member.send, Operation(Action.LOGIN), member.who)
        logins.join(raise_error=True)
        self._members = [member for member in members if member.browser.sending().cookie is not None] or members
