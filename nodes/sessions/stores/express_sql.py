"""Sessions that a Node application on express-session and express-mysql-session shares, in its table in MySQL.

Every statement is on its own (autocommit) unless it stands between BEGIN and COMMIT. Each line is one round trip; the
statements are in `express_table.py`.

    load        SELECT
    create      SELECT of the time, INSERT
                  where the key is taken:     BEGIN, DELETE of an expired row, and if there was one INSERT, COMMIT
    update      SELECT, UPDATE … WHERE data is what was read     again where somebody wrote in between
                  of nothing but the time:    SELECT, UPDATE of `expires`
    delete      BEGIN, SELECT … FOR UPDATE, DELETE, COMMIT
    set_aside   UPDATE
    ping        SELECT
    count       SELECT
    keys        SELECT for each 1000 of them
    sweep       SELECT of a lock, BEGIN, SELECT, DELETE of each, COMMIT, SELECT of the lock, for each 100 of them

`expires` is the truth about when a session ends, as it is there, by the database's clock. What waits for a lock or for
an answer does so within the budgets. docs/express.md says what each side guarantees.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, Row, make_url
from sqlalchemy.exc import IntegrityError

from ..budgets import Budgets
from ..codec import Codec
from ..cookie import CookieFormat, key_of
from ..express_cookie import ExpressCookie
from ..powers import Expired, unheard
from ..store import Changes, Lifetime, Outcome, Record
from . import express_table as sql
from .express_json import DamagedJson, Document
from .express_merge import Documents, Merged, log_damaged, until_swapped
from .sql_database import Database
from .sql_engine import engine_from, patient


class ExpressSqlStore:
    """Over an engine that the caller made for it alone; `from_url` makes one within `budgets`.

    `owner_field` is the key of the session in which Express keeps who is logged in. The engine's connections are used
    in autocommit mode. `housekeeping` is another engine, with more patience, for what no request waits for: the schema,
    sweeping and counting. Both are disposed of by `close`.

    Keys are ids here, not hashes: whoever reads this table can log in as anyone. Logs still name only the hash.
    """

    def __init__(
        self,
        engine: Engine,
        budgets: Budgets | None = None,
        housekeeping: Engine | None = None,
        owner_field: str = "user",
    ) -> None:
        self._documents = Documents(owner_field)
        self.codec: Codec = self._documents.codec
        self.cookie: CookieFormat = ExpressCookie()
        self.budgets = budgets or Budgets()
        self._database = Database(engine, self.budgets)
        self._housekeeping = Database(housekeeping or engine, self.budgets)

    @classmethod
    def from_url(cls, url: str, budgets: Budgets | None = None, owner_field: str = "user") -> ExpressSqlStore:
        """`url` is mysql:// or mariadb://, as SQLAlchemy reads it; ValueError for another one.

        Connects when first used. Housekeeping has twenty times the read timeout, and two connections of its own.
        """
        kind = make_url(url).get_backend_name()
        if kind not in {"mysql", "mariadb"}:
            raise ValueError(f"express-mysql-session's table can't be in {kind}://; use mysql:// or mariadb://")
        budgets = budgets or Budgets()
        return cls(engine_from(url, budgets), budgets, engine_from(url, patient(budgets)), owner_field)

    def create_schema(self) -> None:
        """Makes the table where it is missing, as express-mysql-session does. Several nodes may do so at once."""
        self._housekeeping.create(sql.metadata.create_all)

    def load(self, key: str) -> Record | None:
        found = self._read(key)
        return self._record(*found) if found else None

    def create(
        self,
        key: str,
        fields: Mapping[str, bytes],
        owner: str | None,
        lifetime: Lifetime,
        created: float | None = None,
    ) -> float | None:
        now = self._now()
        made, created = self._documents.made(fields, owner, lifetime, created, now / 1000)
        if made.milliseconds <= 0:
            return created
        values = _values(key, made, now)

        def insert(connection: Connection) -> bool:
            try:
                return bool(connection.execute(sql.INSERT, values).rowcount)
            except IntegrityError:
                return False

        def replace(connection: Connection) -> bool:
            return bool(connection.execute(sql.DELETE_EXPIRED, {"_key": key}).rowcount) and insert(connection)

        # Taken, if only by a session that has expired and was not swept.
        return created if self._database.write(insert) or self._database.transaction(replace) else None

    def update(self, key: str, changes: Changes, lifetime: Lifetime) -> Outcome:
        return until_swapped(lambda: self._try(key, changes, lifetime))

    def _try(self, key: str, changes: Changes, lifetime: Lifetime) -> Outcome | None:
        """None where somebody wrote in between."""
        found = self._read(key)
        if found is None:
            return Outcome.ABSENT
        row, document = found
        merged = self._documents.merged(document, changes, lifetime, row.now / 1000)
        if isinstance(merged, Outcome):
            return merged
        if merged.milliseconds <= 0:
            self.delete(key)
            return Outcome.ABSENT
        values = _values(key, merged, row.now) | {"_before": row.data}
        statement = sql.TOUCH if merged.is_touch else sql.WRITE
        applied = self._database.write(lambda connection: connection.execute(statement, values).rowcount)
        return Outcome.APPLIED if applied else None

    def delete(self, key: str) -> Record | None:
        row = self._database.transaction(partial(sql.load_and_delete, key=key))
        if row is None or row.expires * 1000 <= row.now:
            return None
        try:
            return self._record(row, self._documents.parse((row.data or "").encode()))
        except DamagedJson:
            return None

    def set_aside(self, key: str) -> None:
        """Out of Express's sight too, which would answer 500 for ever."""
        values = {"_key": key, "_aside": f"{sql.DAMAGED}{key_of(key)}:{secrets.token_hex(8)}"}
        self._database.write(lambda connection: connection.execute(sql.SET_ASIDE, values).rowcount)

    def ping(self) -> float:
        return self._now() / 1000

    def close(self) -> None:
        self._database.dispose()
        self._housekeeping.dispose()

    def keys(self) -> Iterator[str]:
        return self._housekeeping.pages(sql.KEYS)

    def count(self) -> int:
        return int(self._housekeeping.read(lambda connection: connection.execute(sql.COUNT).scalar_one()))

    def sweep(self, limit: int = 1000, expired: Expired = unheard) -> int:
        """Expired rows, and damaged ones a day after they were set aside. One of our processes at a time; the others
        return 0 at once. express-mysql-session sweeps as well."""
        removed = 0
        for batch in self._housekeeping.in_batches(sql.sweep, limit):
            removed += len(batch)
            for key in batch:
                if not key.startswith(sql.DAMAGED):
                    expired(key)
        return removed

    def _now(self) -> int:
        """The database's clock, in ms since the epoch."""
        return int(self._database.read(lambda connection: connection.execute(sql.PING).one().now))

    def _read(self, key: str) -> tuple[Row[*tuple[Any, ...]], Document] | None:
        row = self._database.read(lambda connection: connection.execute(sql.LOAD, {"_key": key}).one_or_none())
        if row is None:
            return None
        try:
            return row, self._documents.parse((row.data or "").encode())
        except DamagedJson as error:
            log_damaged(key, error)
            self.set_aside(key)
            return None

    def _record(self, row: Row[*tuple[Any, ...]], document: Document) -> Record:
        return self._documents.record(document, row.expires - row.now / 1000, row.now / 1000)


def _values(key: str, merged: Merged, now: int) -> dict[str, Any]:
    return {"_key": key, "_expires": (now + merged.milliseconds) // 1000, "_data": merged.document.dump().decode()}
