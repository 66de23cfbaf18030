"""A call of several commands: which of them may be sent again, and when all are done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import redis

from ...store import StoreUnavailable
from .connection import Command, NotApplied, is_permanent

_CODES = ("READONLY", "NOREPLICAS", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN")
_KINDS = (redis.ReadOnlyError, redis.exceptions.ClusterDownError, redis.exceptions.TryAgainError)


class Call:
    """Commands that are sent until each has a reply that counts.

    A refusal does not count: another server, or this server a little later, may accept the command. With
    `until_replicated`, neither does a WAIT that too few replicas confirmed; it is repeated with its write. Idempotent
    commands may be sent again after any failure, others only where they were certainly not applied.
    """

    def __init__(self, commands: Sequence[Command], idempotent: bool, until_replicated: bool) -> None:
        self.commands = commands
        self.idempotent = idempotent
        self._until_replicated = until_replicated and idempotent
        self.replies: list[Any] = [None] * len(commands)
        self.open = set(range(len(commands)))
        """Positions of the commands to send."""
        self.failure: StoreUnavailable | None = None
        """The error of the last attempt, if it got no reply."""
        self.attempts = 0

    def attempt(self, send: Callable[[Call], None]) -> bool:
        """Let `send` send the open commands and add the replies. Return whether all commands are done.

        Raises an error after which none may be sent again.
        """
        if self.attempts:
            self.failure = None
            for at in self.open:
                self.replies[at] = None
        self.attempts += 1
        try:
            send(self)
        except StoreUnavailable as error:
            if is_permanent(error) or not (self.idempotent or isinstance(error, NotApplied)):
                raise
            self.failure = error
            return False
        if self.open:
            # What surrounds a refused command has to be repeated, too: at the least WAIT, which followed no write.
            self.open |= {at for at, command in enumerate(self.commands) if self.idempotent or command[0] == "WAIT"}
        return not self.open

    def send_open(self, execute: Callable[[Sequence[Command], bool], list[Any]]) -> None:
        """Send the open commands to one server, and add its replies."""
        if self.attempts == 1:  # the usual case, at no cost
            self.add(range(len(self.commands)), execute(self.commands, self.idempotent))
        else:
            positions = sorted(self.open)
            self.add(positions, execute([self.commands[at] for at in positions], self.idempotent))

    def add(self, positions: Iterable[int], replies: Iterable[Any]) -> None:
        """Add the replies to the commands at these positions."""
        for at, reply in zip(positions, replies, strict=True):
            self.replies[at] = reply
            if isinstance(reply, redis.ResponseError) and _is_refusal(reply):
                continue
            if self._until_replicated and self.commands[at][0] == "WAIT" and lacks_replicas(self.commands[at], reply):
                continue
            self.open.discard(at)

    def result(self) -> list[Any]:
        """Return the last replies, refusals among them. Raises `failure`."""
        if self.failure is not None:
            raise self.failure
        return self.replies


def _is_refusal(error: redis.ResponseError) -> bool:
    return isinstance(error, _KINDS) or str(error).startswith(_CODES)


def lacks_replicas(wait: Command, reply: Any) -> bool:
    """Return whether the reply to WAIT is an error, or names fewer replicas than it asks for."""
    return not isinstance(reply, int) or reply < int(wait[1])
