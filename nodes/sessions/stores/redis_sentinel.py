"""Who is the primary: what Sentinels say, and how long that may take."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import redis

from ..budgets import Budgets
from .redis_connection import Command
from .redis_gather import asked_once, gather
from .redis_record import hash_of
from .redis_refusal import NotApplied
from .redis_servers import Place, Servers
from .redis_url import pool_of


class Sentinels:
    """The Sentinels of a URL. All are asked at once, so one that is dead costs nothing, and one that is silent 50 ms.

    redis-py's own `Sentinel` keeps no such budget: it asks them in turn, believes the first, and does not look whether
    the server that it is told of says the same of itself.
    """

    def __init__(self, servers: Servers, budgets: Budgets, ca_file: Path | None) -> None:
        self._name = servers.name
        self._pools = [pool_of(servers.url_of_sentinel(place), budgets, ca_file) for place in servers.places]
        self._seconds = budgets.connect_timeout + budgets.read_timeout

    def primaries(self) -> list[Place]:
        """Whom they name, and who named it in the latest of their epochs first: a Sentinel that was cut off may still
        name the one before. `NotApplied` where none of them names anybody.
        """
        answers, failures = gather([partial(self._ask, pool) for pool in self._pools], self._seconds)
        epochs: dict[Place, int] = {}
        for place, epoch in answers:
            epochs[place] = max(epoch, epochs.get(place, 0))
        if not epochs:
            why = "; ".join(dict.fromkeys(str(failure) for failure in failures)) or "none answered in time"
            raise NotApplied(f"Redis: no Sentinel knows the primary {self._name!r}: {why}") from _cause(failures)
        return sorted(epochs, key=lambda place: epochs[place], reverse=True)

    def _ask(self, pool: redis.ConnectionPool) -> tuple[Place, int]:
        # While it fails over, the second still names the one before.
        named: Command = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._name)
        known: Command = ("SENTINEL", "MASTER", self._name)
        (host, port), state = asked_once(pool, [named, known])
        return Place(host.decode(), int(port)), int(hash_of(state)[b"config-epoch"])

    def close(self) -> None:
        for pool in self._pools:
            pool.disconnect()


def _cause(failures: list[Exception]) -> Exception | None:
    """Why nobody answered, if it is one reason for all: a wrong password is worth no second try."""
    kinds = {type(failure) for failure in failures}
    return failures[0] if len(kinds) == 1 else None
