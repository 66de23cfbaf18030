"""What an acknowledged write is worth when the primary dies.

----

What a request does while there is no primary: fail at once, or wait for the next one."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ...store import Budgets, StoreUnavailable
from .connection import Asks, Command, NotApplied, generation, is_lasting, is_refusal

_LATE_SECONDS = 0.12
"""WAIT's answer may come so much after its time: the server looks at its clock ten times a second (seen: 100 ms)."""


class Durability(Enum):
    """Who has to have a write before it counts.

    Replication is asynchronous: what the primary alone has is lost with it. A lost deletion brings a logout back, so
    that one weighs more than a lost visit. Waiting costs a round trip between primary and replica; with too few
    replicas in reach, what has to wait is refused as `StoreUnavailable`.
    """

    PRIMARY = "primary"
    """The primary. The fastest."""
    REVOCATIONS = "revocations"
    """The end of a session (logout, renewal, ended by its owner) is waited for, all else is not."""
    EVERY_WRITE = "every_write"
    """Every write is waited for."""


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """`durability` by so many `replicas`, within `budgets`. ValueError where that can't be meant."""

    durability: Durability
    replicas: int
    budgets: Budgets

    def __post_init__(self) -> None:
        if self.replicas < 0 or (self.durability is not Durability.PRIMARY and self.replicas == 0):
            raise ValueError(f"replicas {self.replicas}: durability {self.durability.value} needs at least 1")

    @property
    def wait(self) -> Command:
        """The command that follows a write in its packet; it speaks of all that this connection wrote before."""
        timeout = self.budgets.read_timeout  # until then the answer has to be here
        return "WAIT", self.replicas, max(1, int(max(timeout - _LATE_SECONDS, timeout / 4) * 1000))

    def of(self, revocation: bool) -> list[Command]:
        """What to send after a write: nothing, or `wait`."""
        due = {
            Durability.PRIMARY: False,
            Durability.REVOCATIONS: revocation,
            Durability.EVERY_WRITE: True,
        }[self.durability]
        return [self.wait] if due else []

    def check(self, answer: object) -> None:
        """Holds what WAIT answered against what was asked for."""
        if isinstance(answer, Exception):
            raise StoreUnavailable(f"Redis: {answer}") from answer
        if not isinstance(answer, int) or answer < self.replicas:
            raise StoreUnavailable(
                f"the primary has the write, but only {answer} of {self.replicas} replicas said so in time:"
                " whether it outlives the primary is unknown"
            )


_EVERY = 0.05
"""Seconds between two attempts of the one request that looks whether the store is back."""


class Outage(Enum):
    """What becomes of a request that meets a store that does not answer, or has no primary.

    Failing fast keeps a node free for what needs no session, and tells the user at once. Waiting makes a failover
    invisible but for its time, and keeps connections and memory of the node and of the proxy meanwhile.
    """

    FAIL_FAST = "fail_fast"
    """`StoreUnavailable` within the budgets: a 503."""
    WAIT = "wait"
    """It is held until the store is back, for a bounded time, and then done. A bounded number are, the rest fail."""


@dataclass(frozen=True, slots=True)
class OutagePolicy:
    """`outage` with its bounds. The time is from an operation's first failure; keep it below what the proxy waits for
    a node. The number is for each process. ValueError for what can't be meant.
    """

    outage: Outage = Outage.FAIL_FAST
    seconds: float = 10.0
    most: int = 500

    def __post_init__(self) -> None:
        if not 0 < self.seconds <= 25:
            raise ValueError(f"waiting for {self.seconds:g} s cannot be: use more than 0 and at most 25")
        if self.most < 1:
            raise ValueError(f"{self.most} requests that wait cannot be: use at least 1, or fail fast")

    @property
    def waits(self) -> bool:
        return self.outage is Outage.WAIT


class Waiting:
    """Commands to `asks`, held where they fail and may be sent again.

    One of those who are held tries every 50 ms; when it succeeds the others go on. May be sent again: what is
    idempotent, and what has certainly not been applied. Where too few replicas confirmed an idempotent write within its
    WAIT, it is held as well.
    """

    def __init__(self, asks: Asks, policy: OutagePolicy) -> None:
        self._asks = asks
        self.can_fail_over = asks.can_fail_over
        self._policy = policy
        self._begin()

    def _begin(self) -> None:
        self._generation = generation()
        self._changed = threading.Condition(threading.Lock())
        self._held = 0
        self._somebody_tries = False
        self._successes = 0

    def everywhere(self) -> Sequence[Asks]:
        return [Waiting(asks, self._policy) for asks in self._asks.everywhere()]

    def ask(self, commands: Sequence[Command], idempotent: bool = False) -> list[Any]:
        call = _Call(commands, idempotent)
        if call.is_done_by(self._asks):
            return call.answers
        if self._generation != generation():
            self._begin()
        with self._changed:
            if self._held >= self._policy.most:
                raise StoreUnavailable(f"{self._held} requests wait for the store already") from call.failure
            self._held += 1
        try:
            self._hold(call, time.monotonic() + self._policy.seconds)
        finally:
            with self._changed:
                self._held -= 1
        return call.given()

    def _hold(self, call: _Call, until: float) -> None:
        while (left := until - time.monotonic()) > 0:
            if not self._my_turn(left):
                if call.is_done_by(self._asks):
                    return
                continue
            try:
                while time.monotonic() < until:
                    time.sleep(_EVERY)
                    if call.is_done_by(self._asks):
                        return
            finally:
                self._pass_on(succeeded=call.failure is None)

    def _my_turn(self, seconds: float) -> bool:
        """Whether to try until it works. False: it did for somebody else, or the time is over."""
        with self._changed:
            before = self._successes
            self._changed.wait_for(lambda: self._successes != before or not self._somebody_tries, seconds)
            if self._somebody_tries or self._successes != before:
                return False
            self._somebody_tries = True
            return True

    def _pass_on(self, succeeded: bool) -> None:
        with self._changed:
            self._somebody_tries = False
            self._successes += succeeded
            if succeeded:
                self._changed.notify_all()
            else:
                self._changed.notify()

    def close(self) -> None:
        self._asks.close()


class _Call:
    """Commands, of which some may have been answered. `failure` is what is in the way of the others."""

    def __init__(self, commands: Sequence[Command], idempotent: bool) -> None:
        self._commands = commands
        self._idempotent = idempotent
        self._open: Sequence[int] = range(len(commands))
        self.answers: list[Any] = [None] * len(commands)
        self.failure: Exception | None = None
        self._is_answered = False

    def is_done_by(self, asks: Asks) -> bool:
        """Asks for what is open. Raises what must not be asked again."""
        try:
            answers = asks.ask([self._commands[at] for at in self._open], self._idempotent)
        except StoreUnavailable as error:
            if is_lasting(error) or not (self._idempotent or isinstance(error, NotApplied)):
                raise
            self.failure = error
            return False
        for at, answer in zip(self._open, answers, strict=True):
            self.answers[at] = answer
        self._is_answered = True
        refused = [at for at in self._open if is_refusal(self.answers[at]) or self._is_too_few(at)]
        self.failure = None
        if refused:
            self._open = range(len(self._commands)) if self._idempotent else self._after(refused)
            self.failure = StoreUnavailable(f"Redis: {self.answers[refused[0]]}")
        return not refused

    def _after(self, refused: Sequence[int]) -> Sequence[int]:
        """What was refused, and what spoke of it."""
        return [at for at in self._open if at in refused or self._commands[at][0] == "WAIT"]

    def _is_too_few(self, at: int) -> bool:
        """Whether this is a WAIT that may be repeated with its write, and was in vain."""
        command, answer = self._commands[at], self.answers[at]
        return self._idempotent and command[0] == "WAIT" and (not isinstance(answer, int) or answer < int(command[1]))

    def given(self) -> list[Any]:
        """The last answers, refusals among them; raises where there never were any."""
        if self.failure is not None and not self._is_answered:
            raise self.failure
        return self.answers


def held(asks: Asks, policy: OutagePolicy) -> Asks:
    """The same under an outage policy."""
    return Waiting(asks, policy) if policy.waits else asks
