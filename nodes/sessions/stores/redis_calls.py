"""Running scripts and commands whose errors are nobody's business but the store's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import redis

from ..store import StoreUnavailable
from . import redis_scripts as scripts
from .redis_connection import Command


class Asks(Protocol):
    """What answers commands: `Connections`, or something that knows several servers and sends each to the right one.

    A command's keys are all in one slot, and commands of one call may be in different ones.
    """

    can_fail_over: bool
    """Whether another server may take over, so that who was not answered should ask again."""

    def ask(self, commands: Sequence[Command], idempotent: bool = False) -> list[Any]: ...

    def everywhere(self) -> Sequence[Asks]:
        """What to ask for something that no key leads to: each has keys that no other has."""
        ...

    def close(self) -> None: ...


class Calls:
    """Commands and scripts to one store."""

    def __init__(self, connections: Asks) -> None:
        self._connections = connections

    def everywhere(self) -> list[Calls]:
        """To each part of the store."""
        return [Calls(asks) for asks in self._connections.everywhere()]

    def send(self, commands: Sequence[Command], idempotent: bool = False) -> list[Any]:
        """The answers in one round trip, errors of the server's among them; `StoreUnavailable` where there is none.

        A script that the server has not seen is loaded and called again, which is a second round trip.
        """
        answers = self._connections.ask(commands, idempotent)
        for answer in answers:
            if isinstance(answer, redis.exceptions.NoScriptError):
                return self._load_and_send(commands, answers, idempotent)
        return answers

    def _load_and_send(self, commands: Sequence[Command], answers: list[Any], idempotent: bool) -> list[Any]:
        loads: dict[str, Command] = {}
        again: list[int] = []
        for at, (command, answer) in enumerate(zip(commands, answers, strict=True)):
            if isinstance(answer, redis.exceptions.NoScriptError):
                loads[str(command[1])] = scripts.BY_SHA[str(command[1])].load
                again.append(at)
            elif command[0] == "WAIT":  # it spoke of what was not done yet
                again.append(at)
        new = self._connections.ask([*loads.values(), *(commands[at] for at in again)], idempotent)
        for at, answer in zip(again, new[len(loads) :], strict=True):
            answers[at] = answer
        return answers

    def run(self, commands: Sequence[Command], idempotent: bool = False) -> list[Any]:
        """The same, where any error of the server's is a `StoreUnavailable`."""
        answers = self.send(commands, idempotent)
        for answer in answers:
            if isinstance(answer, redis.ResponseError):
                raise StoreUnavailable(f"Redis: {answer}") from answer
        return answers
