"""Policies for a lost primary: which writes wait for replicas, and which requests wait for a new primary."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ...store import Budgets, StoreUnavailable
from .connection import (
    Command,
    CommandExecutor,
    NotApplied,
    generation,
    is_permanent,
    is_refusal,
    make_condition,
)

_WAIT_LATENESS = 0.12
"""Seconds by which the reply to WAIT may be late: the server looks at its clock ten times a second (seen: 100 ms)."""
_RETRY_INTERVAL = 0.05
"""Seconds between two attempts of the one request that probes the store."""


class Durability(Enum):
    """Which writes count only once replicas have them.

    Replication is asynchronous: a write that only the primary has is lost with it. A lost deletion revives a session,
    so it matters more than a lost visit. Waiting costs a round trip between primary and replica. With too few reachable
    replicas, a write that has to wait raises `StoreUnavailable`.
    """

    PRIMARY = "primary"
    """None. The fastest."""
    REVOCATIONS = "revocations"
    """The end of a session: logout, renewal, ended by its owner."""
    EVERY_WRITE = "every_write"
    """Every write."""


class Acknowledgement:
    """Waits for `replicas` where `durability` demands it. Raises ValueError for too few replicas."""

    def __init__(self, durability: Durability, replicas: int, budgets: Budgets) -> None:
        if replicas < 0 or (durability is not Durability.PRIMARY and replicas == 0):
            raise ValueError(f"replicas must be at least 1 for durability {durability.value}, not {replicas}")
        self._replicas = replicas
        # The reply must be here before the read timeout is over.
        timeout = max(budgets.read_timeout - _WAIT_LATENESS, budgets.read_timeout / 4)
        wait: Command = ("WAIT", replicas, max(1, int(timeout * 1000)))
        self.after_write = [wait] if durability is Durability.EVERY_WRITE else []
        """The commands that follow a write in its packet: WAIT is about all writes of the connection before it."""
        self.after_delete = [wait] if durability is not Durability.PRIMARY else []

    def check(self, reply: object) -> None:
        """Raise `StoreUnavailable` unless the reply to WAIT names enough replicas."""
        if isinstance(reply, Exception):
            raise StoreUnavailable(f"Redis: {reply}") from reply
        if not isinstance(reply, int) or reply < self._replicas:
            raise StoreUnavailable(
                f"only {reply} of {self._replicas} replicas confirmed the write in time: the primary has it, and"
                " whether it outlives the primary is unknown"
            )


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

    outage: Outage = Outage.FAIL_FAST
    seconds: float = 10.0
    max_waiting: int = 500

    def __post_init__(self) -> None:
        if not 0 < self.seconds <= 25:
            raise ValueError(f"seconds must be above 0 and at most 25, not {self.seconds:g}")
        if self.max_waiting < 1:
            raise ValueError(f"max_waiting must be at least 1, not {self.max_waiting}")

    @property
    def waits(self) -> bool:
        return self.outage is Outage.WAIT


def with_outage_policy(executor: CommandExecutor, policy: OutagePolicy) -> CommandExecutor:
    """Return `executor` under an outage policy."""
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
        self._reset()

    def _reset(self) -> None:
        self._generation = generation()
        self._changed = make_condition()
        self._waiting = 0
        self._has_prober = False
        self._recoveries = 0

    def partitions(self) -> Sequence[CommandExecutor]:
        return [WaitingExecutor(executor, self._policy) for executor in self._executor.partitions()]

    def execute(self, commands: Sequence[Command], idempotent: bool = False) -> list[Any]:
        call = _Call(commands, idempotent)
        if call.attempt(self._executor):
            return call.replies
        if self._generation != generation():
            self._reset()
        with self._changed:
            if self._waiting >= self._policy.max_waiting:
                raise StoreUnavailable(f"{self._waiting} requests wait for the store already") from call.failure
            self._waiting += 1
        try:
            self._wait(call, time.monotonic() + self._policy.seconds)
        finally:
            with self._changed:
                self._waiting -= 1
        return call.result()

    def _wait(self, call: _Call, until: float) -> None:
        while (left := until - time.monotonic()) > 0:
            if not self._become_prober(left):
                if call.attempt(self._executor):
                    return
                continue
            try:
                while time.monotonic() < until:
                    time.sleep(_RETRY_INTERVAL)
                    if call.attempt(self._executor):
                        return
            finally:
                self._end_probing(succeeded=call.failure is None)

    def _become_prober(self, seconds: float) -> bool:
        """Return True for the request that tries every 50 ms; False when another one succeeded or time is over."""
        with self._changed:
            before = self._recoveries
            self._changed.wait_for(lambda: self._recoveries != before or not self._has_prober, seconds)
            if self._has_prober or self._recoveries != before:
                return False
            self._has_prober = True
            return True

    def _end_probing(self, succeeded: bool) -> None:
        with self._changed:
            self._has_prober = False
            self._recoveries += succeeded
            if succeeded:
                self._changed.notify_all()
            else:
                self._changed.notify()

    def close(self) -> None:
        self._executor.close()


class _Call:
    """Commands, some of which may have replies. `failure` is the error of the others."""

    def __init__(self, commands: Sequence[Command], idempotent: bool) -> None:
        self._commands = commands
        self._idempotent = idempotent
        self._open: Sequence[int] = range(len(commands))
        self.replies: list[Any] = [None] * len(commands)
        self.failure: Exception | None = None
        self._has_replies = False

    def attempt(self, executor: CommandExecutor) -> bool:
        """Send the open commands. Return whether all are done; raise for a failure after which none may be repeated."""
        try:
            replies = executor.execute([self._commands[at] for at in self._open], self._idempotent)
        except StoreUnavailable as error:
            if is_permanent(error) or not (self._idempotent or isinstance(error, NotApplied)):
                raise
            self.failure = error
            return False
        for at, reply in zip(self._open, replies, strict=True):
            self.replies[at] = reply
        self._has_replies = True
        refused = [at for at in self._open if is_refusal(self.replies[at]) or self._lacks_replicas(at)]
        self.failure = None
        if refused:
            self._open = range(len(self._commands)) if self._idempotent else self._with_waits(refused)
            self.failure = StoreUnavailable(f"Redis: {self.replies[refused[0]]}")
        return not refused

    def _with_waits(self, refused: Sequence[int]) -> Sequence[int]:
        """Return the refused commands and each WAIT, because the write before it was refused."""
        return [at for at in self._open if at in refused or self._commands[at][0] == "WAIT"]

    def _lacks_replicas(self, at: int) -> bool:
        """Return whether this WAIT named too few replicas and may be repeated with its write."""
        return self._idempotent and lacks_replicas(self._commands[at], self.replies[at])

    def result(self) -> list[Any]:
        """Return the last replies, refusals among them. Raises the failure where there are none."""
        if self.failure is not None and not self._has_replies:
            raise self.failure
        return self.replies


def lacks_replicas(command: Command, reply: Any) -> bool:
    """Return whether `command` is a WAIT that too few replicas confirmed."""
    return command[0] == "WAIT" and (not isinstance(reply, int) or reply < int(command[1]))
