"""The outage policy: the requests that wait for a store without a primary, and for how long."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

from ...checks import check_type, to_choice
from ...choices import Choice, choice
from ...store import StoreUnavailable
from ..forks import reset_in_children
from .connection import Command, CommandExecutor
from .failover import Call

_RETRY_INTERVAL = 0.05
"""Seconds between two attempts of the one request that probes the store."""


class Outage(Enum):
    """The behaviour of a request while its store does not answer, or has no primary.

    Failing fast keeps a node free for requests without a session, and tells the user at once. Waiting turns a
    failover into a delay, and uses connections and memory of the node and of the proxy meanwhile.
    """

    FAIL_FAST = "fail_fast"
    """`StoreUnavailable` within the budgets: a 503."""
    WAIT = "wait"
    """Wait until the store is back, for a bounded time. A bounded number of requests wait; the others fail."""


@dataclass(frozen=True, slots=True)
class OutagePolicy:
    """`outage` with its bounds: for `seconds` from an operation's first failure, `max_waiting` requests per process.

    Keep `seconds` below the proxy's timeout for a node. Raises ValueError for values out of range.
    """

    outage: Choice[Outage, Literal["fail_fast", "wait"]] = choice(Outage.FAIL_FAST)
    seconds: float = 10.0
    max_waiting: int = 500

    def __post_init__(self) -> None:
        object.__setattr__(self, "outage", to_choice("outage", self.outage, Outage, {}))
        check_type("seconds", self.seconds, (int, float), "a number")
        check_type("max_waiting", self.max_waiting, int, "an int")
        if not 0 < self.seconds <= 25:
            raise ValueError(f"seconds must be above 0 and at most 25, not {self.seconds:g}")
        if self.max_waiting < 1:
            raise ValueError(f"max_waiting must be at least 1, not {self.max_waiting}")

    @property
    def waits(self) -> bool:
        return self.outage is Outage.WAIT


def with_outage_policy(executor: CommandExecutor, policy: OutagePolicy) -> CommandExecutor:
    """Return `executor` under an outage policy. Raises TypeError."""
    check_type("outage", policy, OutagePolicy, "an OutagePolicy, such as OutagePolicy(Outage.WAIT)")
    return WaitingExecutor(executor, policy) if policy.waits else executor


class WaitingExecutor:
    """Holds commands that failed and may be sent again, until the store is back.

    One of the waiting requests tries every 50 ms; when it succeeds, the others go on. Idempotent commands may be sent
    again, and commands that were certainly not applied. An idempotent write that too few replicas confirmed within its
    WAIT is held as well.
    """

    def __init__(self, executor: CommandExecutor, policy: OutagePolicy) -> None:
        self._executor = executor
        self.can_fail_over = executor.can_fail_over
        self._policy = policy
        reset_in_children(self)

    def _reset(self) -> None:
        # A list, not a semaphore: under gevent, a request can be interrupted while it releases a semaphore.
        self._places = [None] * self._policy.max_waiting
        self._probing = threading.Lock()
        self._recoveries = 0

    def partitions(self) -> Sequence[CommandExecutor]:
        return [WaitingExecutor(executor, self._policy) for executor in self._executor.partitions()]

    def execute(self, commands: Sequence[Command], idempotent: bool = False) -> list[Any]:
        call = Call(commands, idempotent, until_replicated=True)
        if not call.attempt(self._send):
            try:
                place = self._places.pop()
            except IndexError:
                waiting = f"{self._policy.max_waiting} requests wait for the store already"
                raise StoreUnavailable(waiting) from call.failure
            try:
                self._wait(call, time.monotonic() + self._policy.seconds)
            finally:
                self._places.append(place)
        return call.result()

    def _send(self, call: Call) -> None:
        call.send_open(self._executor.execute)

    def _wait(self, call: Call, until: float) -> None:
        """Try every 50 ms with `_probing` held; without it, once after each success of the request that held it."""
        while (left := until - time.monotonic()) > 0:
            recoveries = self._recoveries
            if not self._probing.acquire(timeout=left):
                return
            try:
                while self._recoveries == recoveries and time.monotonic() < until:
                    time.sleep(_RETRY_INTERVAL)
                    if call.attempt(self._send):
                        self._recoveries += 1
                        return
            finally:
                self._probing.release()
            if self._recoveries != recoveries and call.attempt(self._send):
                return

    def close_idle(self) -> None:
        self._executor.close_idle()

    def close(self) -> None:
        self._executor.close()
