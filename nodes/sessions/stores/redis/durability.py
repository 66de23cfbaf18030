"""Durability: the writes that count only once replicas have them, and the WAIT that asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Literal, TypeAlias

from ...checks import check_type, to_choice
from ...store import Budgets, StoreUnavailable
from .connection import Command

_WAIT_LATENESS = 0.12
"""Seconds by which the reply to WAIT may be late: the server looks at its clock ten times a second (seen: 100 ms)."""


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


DurabilityValue: TypeAlias = Literal["primary", "revocations", "every_write"]


class Acknowledgement:
    """Waits for `replicas` where `durability` demands it. Raises ValueError for too few replicas."""

    def __init__(self, durability: Durability | DurabilityValue, replicas: int, budgets: Budgets) -> None:
        durability = to_choice("durability", durability, Durability, {})
        check_type("replicas", replicas, int, "an int")
        if replicas < 0 or (durability is not Durability.PRIMARY and replicas == 0):
            raise ValueError(f"replicas must be at least 1 for durability {durability.value}, not {replicas}")
        self._replicas = replicas
        # The reply must be here before the read timeout is over.
        timeout = max(budgets.read_timeout - _WAIT_LATENESS, budgets.read_timeout / 4)
        wait: Command = ("WAIT", replicas, max(1, int(timeout * 1000)))
        self.after_write = [wait] if durability is Durability.EVERY_WRITE else []
        """The commands that follow a write in its packet: WAIT is about all writes of the connection before it."""
        self.after_delete = [wait] if durability is not Durability.PRIMARY else []

    def check(self, replies: Sequence[object]) -> None:
        """Raise `StoreUnavailable` unless the last of `replies`, if it is to WAIT, names enough replicas."""
        if len(replies) == 1:
            return
        reply = replies[-1]
        if isinstance(reply, Exception):
            raise StoreUnavailable(f"Redis: {reply}") from reply
        if not isinstance(reply, int) or reply < self._replicas:
            raise StoreUnavailable(
                f"only {reply} of {self._replicas} replicas confirmed the write in time: the primary has it, and"
                " whether it outlives the primary is unknown"
            )
