"""Sessions in SQLite, MySQL 8, MariaDB 10.6 or PostgreSQL: a row per session, the database's clock.

Every statement is on its own (autocommit) unless it stands between BEGIN and COMMIT; BEGIN is BEGIN IMMEDIATE in
SQLite. Each line is one round trip; the statements are in `sql_statements.py`, the table in `docs/sql.md`.

    load        SELECT
    create      INSERT … RETURNING            MySQL, which has no RETURNING: SELECT of the time, INSERT
                  where the key is taken:     BEGIN, DELETE of an expired row, and if there was one INSERT, COMMIT
    update      BEGIN, SELECT … FOR UPDATE, UPDATE, COMMIT
                  of nothing but the time:    UPDATE
    delete      DELETE … RETURNING            MySQL: BEGIN, SELECT … FOR UPDATE, DELETE, COMMIT
    set_aside   UPDATE
    ping        SELECT
    keys_of     SELECT
    count       SELECT
    keys        SELECT for each 1000 of them
    sweep       BEGIN, SELECT … FOR UPDATE SKIP LOCKED, DELETE of each, COMMIT, for each 100 of them;
                  only MySQL takes a round trip for each DELETE, and PostgreSQL and MySQL one or two for a lock

What waits for a lock or for an answer does so within the budgets. A read that fails is tried again, and so is a write
that was certainly not applied: a transaction that did not come to its COMMIT, or that the database rolled back.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import msgspec
from sqlalchemy import Connection, CursorResult, Engine, MetaData, Row
from sqlalchemy.exc import IntegrityError

from ...codec import Codec, MsgpackCodec
from ...cookie import CookieFormat, SignedCookie
from ...store import (
    LATEST,
    Budgets,
    Changes,
    Lifetime,
    OnExpired,
    Outcome,
    Record,
    UnsupportedRecordVersion,
    encoded_size,
    ignore,
)
from .engine import engine_from, patient
from .statements import FORMAT, MAX_OWNER, Statements, create_missing, make_table
from .transactions import Database

log = logging.getLogger("nodes.sessions")


class SqlStore:
    """Over an engine that the caller made for it alone; `from_url` makes one within `budgets`.

    The engine's connections are used in autocommit mode. `housekeeping` is another engine, with more patience, for what
    no request waits for: the schema, sweeping and counting. Both are disposed of by `close`.
    """

    def __init__(
        self,
        engine: Engine,
        budgets: Budgets | None = None,
        housekeeping: Engine | None = None,
        table: str = "sessions",
    ) -> None:
        self.codec: Codec = MsgpackCodec()
        self.cookie: CookieFormat = SignedCookie()
        self.budgets = budgets or Budgets()
        self._database = Database(engine, self.budgets, table)
        self._housekeeping = Database(housekeeping or engine, self.budgets, table)
        self._table = make_table(table, MetaData())
        self._sql = Statements(self._table)
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(dict[str, bytes])

    @classmethod
    def from_url(cls, url: str, budgets: Budgets | None = None, table: str = "sessions") -> SqlStore:
        """`url` is sqlite:////path, mysql://, mariadb:// or postgresql://, as SQLAlchemy reads it.

        Connects when first used. Housekeeping has twenty times the read timeout, and two connections of its own.
        """
        budgets = budgets or Budgets()
        return cls(engine_from(url, budgets), budgets, engine_from(url, patient(budgets)), table)

    def create_schema(self) -> None:
        """Makes the table and its indexes where they are missing. Several nodes may do so at once."""
        self._housekeeping.create(partial(create_missing, table=self._table))

    def load(self, key: str) -> Record | None:
        row = self._database.read(lambda connection: connection.execute(self._sql.load, {"_key": key}).one_or_none())
        if row is None:
            return None
        self._refuse_newer(key, row.format)
        try:
            return self._record(row)
        except ValueError as error:
            self._damaged(key, error)
            self.quarantine(key)
            return None

    def create(
        self,
        key: str,
        fields: Mapping[str, bytes],
        owner: str | None,
        lifetime: Lifetime,
        created: float | None = None,
    ) -> float | None:
        """ValueError for an owner that not every database can hold: of more than 255 characters, or with a NUL."""
        if owner is not None and (len(owner) > MAX_OWNER or "\0" in owner):
            raise ValueError(f"owner {owner!r} must have at most {MAX_OWNER} characters, and no NUL")
        values = _milliseconds(lifetime) | {"_key": key, "_owner": owner, "_fields": self._encoder.encode(dict(fields))}
        values["_created"] = None if created is None else round(created * 1000)

        def insert(connection: Connection) -> int | None:
            try:
                return self._sql.insert_session(connection, values)
            except IntegrityError:
                return None

        def replace(connection: Connection) -> int | None:
            return insert(connection) if connection.execute(self._sql.delete_expired, {"_key": key}).rowcount else None

        made = self._database.write(insert)
        if made is None:  # taken, if only by a session that has expired and was not swept
            made = self._database.transaction(replace)
        return made / 1000 if made is not None else None

    def update(self, key: str, changes: Changes, lifetime: Lifetime) -> Outcome:
        values = _milliseconds(lifetime) | {"_key": key}
        is_touch = not (changes.set or changes.delete or changes.expect)
        if is_touch and self._database.write(lambda connection: connection.execute(self._sql.touch, values).rowcount):
            return Outcome.APPLIED
        # A touch of nothing: the session may be absent, or of a later version. What follows tells.

        def apply(connection: Connection) -> Outcome:
            row = connection.execute(self._sql.lock, values).one_or_none()
            if row is None:
                return Outcome.ABSENT
            self._refuse_newer(key, row.format)
            try:
                fields = self._fields(row)
            except ValueError as error:
                self._damaged(key, error)
                connection.execute(self._sql.quarantine, {"_key": key})
                return Outcome.ABSENT
            if any(fields.get(name) != value for name, value in changes.expect.items()):
                return Outcome.CONFLICT
            fields = changes.apply_to(fields)
            if changes.set and changes.max_bytes is not None and encoded_size(fields) > changes.max_bytes:
                return Outcome.TOO_LARGE
            written: CursorResult[Any] = connection.execute(
                self._sql.write, values | {"_fields": self._encoder.encode(fields)}
            )
            return Outcome.APPLIED if written.rowcount else Outcome.ABSENT

        return self._database.transaction(apply)

    def delete(self, key: str) -> Record | None:
        if self._database.deletes_returning:
            row = self._database.write(partial(self._sql.delete_session, key=key))
        else:
            row = self._database.transaction(partial(self._sql.load_and_delete_session, key=key))
        if row is None or row.ttl <= 0 or row.format > FORMAT:
            return None
        try:
            return self._record(row)
        except ValueError:
            return None

    def quarantine(self, key: str) -> None:
        self._database.write(lambda connection: connection.execute(self._sql.quarantine, {"_key": key}).rowcount)

    def ping(self) -> float:
        return float(self._database.read(lambda connection: connection.execute(self._sql.ping).one().now)) / 1000

    def close(self) -> None:
        self._database.dispose()
        self._housekeeping.dispose()

    def keys_of(self, owner: str) -> list[str]:
        rows = self._database.read(lambda connection: connection.execute(self._sql.keys_of, {"_owner": owner}).all())
        return [key for key, name in rows if name == owner]  # to MySQL, "alice" and "alice " are equal

    def keys(self) -> Iterator[str]:
        return self._housekeeping.pages(self._sql.keys)

    def count(self) -> int:
        return int(self._housekeeping.read(lambda connection: connection.execute(self._sql.count).scalar_one()))

    def sweep(self, limit: int = 1000, on_expired: OnExpired = ignore) -> int:
        """Expired rows, and damaged ones a day after they were set aside. One process at a time; the others return 0 at
        once (SQLite: when it is their turn). Passes by rows that somebody else has locked."""
        removed = 0
        for batch in self._housekeeping.in_batches(self._sql.take_expired, limit):
            removed += len(batch)
            for row in batch:
                if not row["_set_aside"]:
                    on_expired(row["_key"])
        return removed

    def _record(self, row: Row[*tuple[Any, ...]]) -> Record:
        if not 0 <= row.created < LATEST * 1000:
            raise ValueError("it was created at no time")
        return Record(self._fields(row), row.owner, row.created / 1000, row.ttl / 1000, bool(row.final))

    def _fields(self, row: Row[*tuple[Any, ...]]) -> dict[str, bytes]:
        """ValueError where the row is damaged."""
        if row.format != FORMAT:
            raise ValueError(f"its format is {row.format}")
        return self._decoder.decode(row.fields)

    def _refuse_newer(self, key: str, version: int) -> None:
        if version > FORMAT:
            raise UnsupportedRecordVersion(f"session {key} is of format {version}; this version reads {FORMAT}")

    def _damaged(self, key: str, why: ValueError) -> None:
        log.error("session %s is corrupt and was quarantined: its row can't be read: %s", key, why)


def _milliseconds(lifetime: Lifetime) -> dict[str, Any]:
    return {"_idle": int(lifetime.idle * 1000), "_absolute": int(lifetime.absolute * 1000)}
