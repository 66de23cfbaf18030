"""Races for one session: writes at the same moment, and a logout while a request of the same session is on its way.

They run beside the load, from the fault to its undo, and write the same records as the load's users do.
"""

import itertools
import random
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from loadtest.failover.racer import Racer, Record, SharedSession, together
from loadtest.ledger import Action, Operation, Outcome

LOOK, LOGIN, LOGOUT, VISIT = (Operation(Action(name)) for name in ("look", "login", "logout", "visit"))


class Race(Protocol):
    """Rounds of something that must not go wrong, however it falls out."""

    @property
    def what(self) -> str: ...

    @property
    def racers(self) -> int: ...

    def round(self, racers: list[Racer], session: SharedSession) -> None:
        """One round with a session that nobody else has; it is logged in already."""


@dataclass(frozen=True)
class ConcurrentWrites:
    """All racers write to the session at the same moment: the same counter, the same item and an item of their own.

    Afterwards one of them looks what is in it.
    """

    racers: int = 6
    writes: int = 2
    what: str = "concurrent writes to one session"

    def round(self, racers: list[Racer], session: SharedSession) -> None:
        def write(number: int) -> None:
            for _ in range(self.writes):
                racers[number].do(session, VISIT)
                racers[number].do(session, Operation(Action.ADD, f"apple of {session.name}", 1))
                racers[number].do(session, Operation(Action.ADD, f"pear of {racers[number].who}", 1))

        together(self.racers, write)
        racers[0].do(session, LOOK)
        racers[0].do(session, LOGOUT)


@dataclass(frozen=True)
class LateWrites:
    """A logout while writes of the same session are on their way; afterwards the session must be nobody's.

    `spread` in seconds: the writes set out at the same moment, the logout at a moment between then and so much later.
    """

    racers: int = 4
    spread: float = 0.05
    what: str = "a logout while requests of the session are on their way"

    def round(self, racers: list[Racer], session: SharedSession) -> None:
        racers[0].do(session, VISIT)

        def act(number: int) -> None:
            if number == 0:
                time.sleep(random.uniform(0, self.spread))  # noqa: S311 - no secret
                racers[0].do(session, LOGOUT)
            elif number % 2:
                racers[number].do(session, VISIT)
            else:
                racers[number].do(session, Operation(Action.ADD, f"plum of {racers[number].who}", 1))

        together(self.racers, act)
        for racer in racers:
            racer.do(session, LOOK)


class Running:
    """A race that runs in a thread of its own, from when it is made until `stop`."""

    def __init__(self, race: Race, url: str, accounts: Mapping[str, str], cookie: str, record: Record) -> None:
        self.rounds = 0
        self._race, self._accounts, self._cookie = race, accounts, cookie
        self._racers = [Racer(url, f"racer-{number}", record) for number in range(1, race.racers + 1)]
        self._over = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Returns when the last round is finished; raises what ended the race early."""
        self._over.set()
        self._thread.join()
        for racer in self._racers:
            racer.close()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        names = itertools.cycle(self._accounts)
        try:
            while not self._over.is_set():
                account = next(names)
                session = SharedSession(
                    f"shared-{self.rounds + 1}", account, self._accounts[account], cookie=self._cookie
                )
                if self._racers[0].do(session, LOGIN) is Outcome.OK:
                    self._race.round(self._racers, session)
                    self.rounds += 1
                else:
                    self._over.wait(0.2)
        except BaseException as error:  # noqa: BLE001 - raised by `stop`
            self._error = error
