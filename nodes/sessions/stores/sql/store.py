"""Sessions in SQLite, MySQL 8, MariaDB 10.6 or PostgreSQL: a row per session, the database's clock.

Every statement is on its own (autocommit) unless it stands between BEGIN and COMMIT; BEGIN is BEGIN IMMEDIATE in
SQLite. Each statement is one round trip; the statements are in `statements.py`, the table in `docs/sql.md`.

    load        SELECT
    create      INSERT … RETURNING            MySQL, which has no RETURNING: SELECT of the time, INSERT
                  where the key is taken:     BEGIN, DELETE of an expired row, and if there was one INSERT, COMMIT
    update      BEGIN, SELECT … FOR UPDATE, UPDATE, COMMIT
                  of nothing but the time:    UPDATE
                  where it is absent:         SELECT of the mark before COMMIT
    delete      DELETE
    retire      UPDATE
                  where that changes no row:  BEGIN, SELECT … FOR UPDATE, then UPDATE or SELECT, DELETE, INSERT; COMMIT
    end_many    BEGIN, SELECT … FOR UPDATE, UPDATE, COMMIT;  a DELETE before the UPDATE, where marks are in the way
    quarantine  UPDATE
    ping        SELECT
    keys_of     SELECT
    page_of     SELECT
    count       SELECT
    keys        SELECT for each 1000 of them
    sweep       BEGIN, SELECT … FOR UPDATE SKIP LOCKED, DELETE of each, COMMIT, for each 100 of them;
                  only MySQL takes a round trip for each DELETE, and PostgreSQL and MySQL one or two for a lock

Waiting for a lock or for an answer is within the budgets. A read that fails is tried again, and so is a write that was
certainly not applied: a transaction before its COMMIT, or one that the database rolled back. One that waited for a lock
in vain is tried again until the deadline, since others write to its row one after another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
from sqlalchemy import URL, Connection, CursorResult, Engine, MetaData, Row, Select
from sqlalchemy.exc import IntegrityError

from ...capabilities import OnExpired, ignore
from ...checks import describe_type, is_unicode, to_owner
from ...codec import Codec, MsgpackCodec
from ...cookie import CookieFormat, SignedCookie
from ...corrupt import read_record
from ...store import (
    ELSEWHERE,
    LATEST,
    Budgets,
    Changes,
    CorruptRecord,
    Lifetime,
    Outcome,
    Record,
    RecordTooLarge,
    SessionMark,
    SessionTooLarge,
    StoreUnavailable,
    UnsupportedRecordVersion,
)
from .engine import make_engine, make_housekeeping_budgets
from .from_engine import to_url
from .statements import FORMAT, MARK, SESSION, Statements, check_columns, create_missing, make_table
from .transactions import AutocommitEngine, is_full


class SqlStore:
    """Sessions in one table, over an engine that only session stores use; `from_url` makes one within `budgets`.

    The engine's connections are used in autocommit mode. `housekeeping` is another engine, with longer timeouts, for
    work outside of requests: the schema, sweeping and counting. `close` disposes of both.
    """

    def __init__(
        self,
        engine: Engine,
        budgets: Budgets | None = None,
        housekeeping: Engine | None = None,
        table: str = "sessions",
    ) -> None:
        if not isinstance(engine, Engine):
            raise TypeError(
                f"engine must be a sqlalchemy.Engine, not {describe_type(engine)}: write SqlStore.from_url(url)"
            )
        self.codec: Codec = MsgpackCodec()
        self.cookie: CookieFormat = SignedCookie()
        self.budgets = budgets or Budgets()
        self._database = AutocommitEngine(engine, self.budgets, table)
        self._housekeeping = AutocommitEngine(housekeeping or engine, self.budgets, table)
        self._table = make_table(table, MetaData())
        self._sql = Statements(self._table, self.budgets.max_reply)
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(dict[str, bytes])

    @classmethod
    def from_url(cls, url: str | URL, budgets: Budgets | None = None, table: str = "sessions") -> SqlStore:
        """Make a store that connects when first used.

        `url` is sqlite:////path, mysql://, mariadb:// or postgresql://, as SQLAlchemy reads it. Housekeeping has twenty
        times the read timeout, and two connections of its own.
        """
        budgets = budgets or Budgets()
        return cls(make_engine(url, budgets), budgets, make_engine(url, make_housekeeping_budgets(budgets)), table)

    @classmethod
    def from_engine(cls, engine: Engine, budgets: Budgets | None = None, table: str = "sessions") -> SqlStore:
        """Make a store with connections of its own to the database of the application's engine: see `from_engine.py`.

        The engine itself is not used, and can go on as it is. Raises TypeError for other objects, and ValueError for an
        engine with settings that can't be taken over, and for SQLite in memory.
        """
        return cls.from_url(to_url(engine), budgets, table)

    def create_schema(self) -> None:
        """Create the table and its indexes where they are missing. Several nodes may do so at the same time.

        Raises `ForeignTable`, as `check_schema` does.
        """
        self._housekeeping.create(partial(create_missing, table=self._table))

    def check_schema(self) -> None:
        """Raise `ForeignTable` where a table of this name is another application's. A missing one is not an error."""
        self._housekeeping.read(partial(check_columns, table=self._table))

    def load(self, key: str) -> Record | SessionMark | None:
        return read_record(self, key, lambda: self._load(key))

    def _load(self, key: str) -> Record | SessionMark | None:
        row = self._database.read(lambda connection: connection.execute(self._sql.load, {"_key": key}).one_or_none())
        if row is None:
            return None
        self._check_readable(key, row)
        if row.set_aside == MARK:
            return SessionMark(row.fields)
        return self._to_record(row)

    def create(
        self, key: str, fields: Mapping[str, bytes], owner: str | None, lifetime: Lifetime, created: float | None = None
    ) -> float | None:
        """Store a new session. Raises ValueError for an owner that `to_owner` refuses."""
        values = _to_milliseconds(lifetime) | {"_key": key, "_owner": owner if owner is None else to_owner(owner)}
        values["_fields"] = self._encode(dict(fields))
        values["_created"] = None if created is None else round(created * 1000)

        def insert(connection: Connection) -> int | None:
            try:
                return self._sql.insert_session(connection, values)
            except IntegrityError:
                return None

        def replace(connection: Connection) -> int | None:
            return insert(connection) if connection.execute(self._sql.delete_expired, {"_key": key}).rowcount else None

        made = self._database.write(insert)
        if made is None:  # taken, perhaps by an expired session that was not swept yet
            made = self._database.transaction(replace)
        return made / 1000 if made is not None else None

    def update(self, key: str, changes: Changes, lifetime: Lifetime) -> Outcome:
        values = _to_milliseconds(lifetime) | {"_key": key}
        is_touch = not (changes.set or changes.delete or changes.expect)
        if is_touch and self._database.write(lambda connection: connection.execute(self._sql.touch, values).rowcount):
            return Outcome.APPLIED
        # A touch that changed no row: the session is absent, or of a later version.

        def apply(connection: Connection) -> Outcome:
            row = connection.execute(self._sql.lock, values).one_or_none()
            if row is None:
                return Outcome.ABSENT if self._load_mark(connection, key) is None else Outcome.ENDED
            self._check_readable(key, row)
            fields = self._fields(row)
            if refusal := changes.refusal(fields):
                return refusal
            encoded = self._encode(changes.apply_to(fields))
            written: CursorResult[Any] = connection.execute(self._sql.write, values | {"_fields": encoded})
            return Outcome.APPLIED if written.rowcount else Outcome.ABSENT

        return read_record(self, key, lambda: self._database.transaction(apply)) or Outcome.ABSENT

    def delete(self, key: str) -> None:
        self._delete(key)

    def retire(self, key: str, mark: SessionMark, expect: Record | None = None) -> Outcome:
        values = {"_key": key, "_successor": mark.successor}
        statement = self._sql.retire
        if expect is not None:
            statement = self._sql.retire_expected
            values["_fields"] = self._encoder.encode(dict(expect.fields))

        def update(connection: Connection) -> int:
            try:
                return connection.execute(statement, values).rowcount
            except IntegrityError:
                return 0  # an earlier mark, beside a session

        try:
            if self._database.write(update):
                return Outcome.APPLIED
            return self._database.transaction(partial(self._retire, values=values, expect=expect))
        except StoreUnavailable as error:
            if expect is not None or not is_full(error.__cause__):
                raise
            return Outcome.APPLIED if self._delete(key) else Outcome.ABSENT

    def end_many(self, keys: Sequence[str]) -> list[str]:
        try:
            return self._database.transaction(partial(self._end_many, keys=list(keys)))
        except StoreUnavailable as error:
            if not is_full(error.__cause__):
                raise
            return [key for key in keys if self.retire(key, SessionMark(ELSEWHERE)) is Outcome.APPLIED]

    def _end_many(self, connection: Connection, keys: list[str]) -> list[str]:
        rows = connection.execute(self._sql.lock_many, {"_keys": keys}).all()
        alive = [row.key for row in rows if row.set_aside == SESSION]
        if marked := {row.key for row in rows if row.set_aside == MARK} & set(alive):
            connection.execute(self._sql.delete_marks, {"_keys": sorted(marked)})
        if alive:
            connection.execute(self._sql.retire_many, {"_keys": alive, "_successor": ELSEWHERE})
        return alive

    def _delete(self, key: str) -> int:
        """Delete the live session and return how many there were: one or none."""
        return self._database.write(lambda connection: connection.execute(self._sql.delete, {"_key": key}).rowcount)

    def _retire(self, connection: Connection, values: dict[str, Any], expect: Record | None) -> Outcome:
        """Look why no row has changed, and retire what is there."""
        key = values["_key"]
        row = connection.execute(self._sql.load_locked, {"_key": key}).one_or_none()
        if row is not None and row.ttl > 0:
            if expect is not None and not self._has_fields(row, expect):
                return Outcome.CONFLICT
            connection.execute(self._sql.delete_mark, {"_key": key})
            connection.execute(self._sql.retire, values)
            return Outcome.APPLIED
        if self._load_mark(connection, key) not in {None, SessionMark(ELSEWHERE)}:
            return Outcome.ENDED
        connection.execute(self._sql.delete_obsolete_mark, {"_key": key})
        try:
            connection.execute(self._sql.insert_mark, values)
        except IntegrityError:  # of a concurrent call
            return Outcome.ENDED
        return Outcome.ABSENT

    def _has_fields(self, row: Row[*tuple[Any, ...]], record: Record) -> bool:
        """Return whether the row has these fields, in whatever order."""
        try:
            return row.fields is not None and self._fields(row) == record.fields
        except ValueError:
            return False

    def _load_mark(self, connection: Connection, key: str) -> SessionMark | None:
        successor = connection.execute(self._sql.load_mark, {"_key": key}).scalar_one_or_none()
        return None if successor is None else SessionMark(successor)

    def quarantine(self, key: str) -> None:
        self._database.write(lambda connection: connection.execute(self._sql.quarantine, {"_key": key}).rowcount)

    def ping(self) -> float:
        return float(self._database.read(lambda connection: connection.execute(self._sql.ping).one().now)) / 1000

    def reconnect(self) -> None:
        self._database.close_idle()

    def close(self) -> None:
        self._database.dispose()
        self._housekeeping.dispose()

    def keys_of(self, owner: str) -> list[str]:
        return self._keys_of(owner, self._sql.keys_of, {"_owner": owner})

    def page_of(self, owner: str, first: int, count: int) -> list[str]:
        return self._keys_of(owner, self._sql.page_of, {"_owner": owner, "_first": first, "_limit": count})

    def _keys_of(self, owner: str, statement: Select[Any], parameters: dict[str, str | int]) -> list[str]:
        rows = self._database.read(lambda connection: connection.execute(statement, parameters).all())
        return [key for key, name in rows if name == owner]  # MySQL compares "alice" and "alice " as equal

    def keys(self) -> Iterator[str]:
        return self._housekeeping.pages(self._sql.keys)

    def count(self) -> int:
        return int(self._housekeeping.read(lambda connection: connection.execute(self._sql.count).scalar_one()))

    def sweep(self, limit: int = 1000, on_expired: OnExpired = ignore) -> int:
        """Remove expired rows, and quarantined ones after a day. Skips rows that another transaction has locked.

        One process at a time; the others return 0 at once (SQLite: when it is their turn).
        """
        removed = 0
        for batch in self._housekeeping.in_batches(self._sql.take_expired, limit):
            removed += len(batch)
            for row in batch:
                if not row["_set_aside"]:
                    on_expired(row["_key"])
        return removed

    def _to_record(self, row: Row[*tuple[Any, ...]]) -> Record:
        if type(row.created) is not int or not 0 <= row.created < LATEST * 1000:
            raise CorruptRecord("its time of creation is out of range", row.created)
        if not (row.owner is None or (isinstance(row.owner, str) and is_unicode(row.owner))):
            raise CorruptRecord("its owner can't be read", row.owner)
        return Record(self._fields(row), row.owner, row.created / 1000, row.ttl / 1000, bool(row.final))

    def _encode(self, fields: dict[str, bytes]) -> bytes:
        """Return the fields as a row has them. Raises `SessionTooLarge` for those that no node could read."""
        encoded = self._encoder.encode(fields)
        if len(encoded) > self.budgets.max_reply:
            raise SessionTooLarge(f"a row must have at most {self.budgets.max_reply} bytes (max_reply)")
        return encoded

    def _fields(self, row: Row[*tuple[Any, ...]]) -> dict[str, bytes]:
        """Return the fields of a row. Raises `CorruptRecord`."""
        if row.format != FORMAT:
            raise CorruptRecord(f"its format is {row.format}", row.format)
        try:
            return self._decoder.decode(row.fields)
        except (TypeError, ValueError) as error:
            raise CorruptRecord(f"its fields can't be read: {error}", row.fields) from error

    def _check_readable(self, key: str, row: Row[*tuple[Any, ...]]) -> None:
        if _is_later(row.format):
            raise UnsupportedRecordVersion(f"session {key} is of format {row.format}; this version reads {FORMAT}")
        if row.fields is None:
            raise RecordTooLarge(f"session {key} has more than {self.budgets.max_reply} bytes (max_reply)")


def _is_later(version: Any) -> bool:
    """Return whether a later version wrote the row. SQLite may have any type in a damaged one."""
    return type(version) is int and version > FORMAT


def _to_milliseconds(lifetime: Lifetime) -> dict[str, Any]:
    return {"_idle": int(lifetime.idle * 1000), "_absolute": int(lifetime.absolute * 1000)}
