"""A SQLite store that is filled with sessions and measured: its file, and how long a write holds it."""

from __future__ import annotations

import time

import sqlalchemy as sa

from loadtest.capacity.figures import Figure
from loadtest.capacity.population import Population, owner
from nodes.sessions import Budgets, Changes, Lifetime, SqlStore
from nodes.sessions.stores.sql.engine import make_engine
from nodes.sessions.stores.sql.statements import sessions as table

_BATCH = 5000
_ROUNDS, _WRITES = 5, 40
_PATIENT = Budgets(10, 10, deadline=10)


class SqlContents:
    """The database of a cluster's nodes. The sessions are copies of that with `key`, which a node has written."""

    def __init__(self, url: str, population: Population, key: str) -> None:
        self._population, self._key, self._url = population, key, url
        self._engine = make_engine(url, _PATIENT)
        self.count = 0
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(table).where(table.c.key == key)).mappings().one()
        self._row = dict(row)

    @property
    def data_bytes(self) -> int:
        """Bytes of the fields of a session."""
        return len(self._row["fields"])

    def close(self) -> None:
        self._engine.dispose()

    def fill(self, count: int) -> None:
        """Add sessions until there are `count`."""
        for first in range(self.count, count, _BATCH):
            rows = [
                {**self._row, "key": self._population.key(number), "owner": owner(number)}
                for number in range(first, min(first + _BATCH, count))
            ]
            with self._engine.begin() as connection:
                connection.execute(sa.insert(table), rows)
        self.count = max(self.count, count)

    def memory(self) -> tuple[float, float]:
        """Return the bytes of the database that are in use, twice: they are on a disk."""
        with self._engine.connect() as connection:
            pages, free, size = (
                int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())
                for name in ("page_count", "freelist_count", "page_size")
            )
        used = float((pages - free) * size)
        return used, used

    def bytes_sent(self) -> tuple[float, float]:
        """Return zeros: nothing goes over a network."""
        return 0.0, 0.0

    def writer_seconds(self) -> Figure:
        """Return how long a write takes that waits for no other."""
        store, lifetime = SqlStore.from_url(self._url, _PATIENT), Lifetime(43_200, 86_400)
        samples = []
        try:
            for round_number in range(_ROUNDS + 1):  # the first one warms up
                began = time.perf_counter()
                for number in range(_WRITES):
                    key = self._population.key((round_number * _WRITES + number) % self.count)
                    store.update(key, Changes({"visits": b"\x02"}), lifetime)
                if round_number:
                    samples.append((time.perf_counter() - began) / _WRITES)
        finally:
            store.close()
        return Figure(tuple(samples))
