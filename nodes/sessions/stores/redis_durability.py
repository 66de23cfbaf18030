"""What an acknowledged write is worth when the primary dies."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from ..budgets import Budgets
from ..store import StoreUnavailable
from .redis_connection import Command

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
