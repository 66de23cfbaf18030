"""The statements of the SQL store, and the operations that are not the same ones everywhere.

Built once: SQLAlchemy compiles each once for a database and then only binds values. Their parameters begin with an
underscore, so that none has the name of a column.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    LargeBinary,
    Row,
    RowMapping,
    String,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    select,
    update,
)

from ..counters import COUNTER
from .sql_schema import FORMAT, now_ms, sessions

KEPT_ASIDE_MS = 24 * 60 * 60 * 1000
"""How long a damaged row is kept for an inspection, before `sweep` takes it."""

_s = sessions.c
_KEY = bindparam("_key", type_=String)
_IDLE = bindparam("_idle", type_=BigInteger)
_ABSOLUTE = bindparam("_absolute", type_=BigInteger)
_FIELDS = bindparam("_fields", type_=LargeBinary)


def _expires(created: ColumnElement[int]) -> ColumnElement[int]:
    idle, absolute = now_ms() + _IDLE, created + _ABSOLUTE
    return case((absolute < idle, absolute), else_=idle)


def _final(created: ColumnElement[int]) -> ColumnElement[bool]:
    return case((created + _ABSOLUTE <= now_ms() + _IDLE, True), else_=False)


_kept = _s.set_aside == 0
_this = and_(_s.key == _KEY, _kept)
_live = _s.expires > now_ms()
# Checked in every statement of an update, since between two of them time passes.
_updatable = and_(_this, _live, _s.created + _ABSOLUTE > now_ms())
_record = (_s.owner, _s.created, (_s.expires - now_ms()).label("ttl"), _s.final, _s.format, _s.fields)

LOAD = select(*_record).where(_this, _live)
DELETE = delete(sessions).where(_this)
DELETE_RETURNING = DELETE.returning(*_record)
LOAD_LOCKED = select(*_record).where(_this).with_for_update()

_created = func.coalesce(bindparam("_created", type_=BigInteger), now_ms(), type_=BigInteger)
INSERT = insert(sessions).values(
    key=_KEY,
    set_aside=0,
    owner=bindparam("_owner"),
    created=_created,
    expires=_expires(_created),
    final=_final(_created),
    format=FORMAT,
    fields=_FIELDS,
)
INSERT_RETURNING = INSERT.returning(_s.created)
DELETE_EXPIRED = delete(sessions).where(_this, _s.expires <= now_ms())

LOCK = select(_s.format, _s.fields).where(_updatable).with_for_update()
_renewed = {"expires": _expires(_s.created), "final": _final(_s.created)}
WRITE = update(sessions).where(_updatable).values(fields=_FIELDS, **_renewed)
TOUCH = update(sessions).where(_updatable, _s.format == FORMAT).values(**_renewed)

SET_ASIDE = update(sessions).where(_this).values(set_aside=now_ms(), expires=now_ms() + KEPT_ASIDE_MS)

# Asks the table too: a database that is up but can't read the sessions is not available.
PING = select(now_ms().label("now"), exists(select(_s.key)).label("any"))

KEYS_OF = select(_s.key, _s.owner).where(_s.owner == bindparam("_owner"), _kept, _live).order_by(_s.created, _s.key)
_session = _s.key < COUNTER
KEYS = (
    select(_s.key)
    .where(_s.key > bindparam("_after"), _session, _kept, _live)
    .order_by(_s.key)
    .limit(bindparam("_limit"))
)
COUNT = select(func.count()).select_from(sessions).where(_session, _kept, _live)

EXPIRED = (
    select(_s.key.label("_key"), _s.set_aside.label("_set_aside"))
    .where(_s.expires <= now_ms())
    .order_by(_s.expires)
    .limit(bindparam("_limit"))
    .with_for_update(skip_locked=True)
)
# Row by row: with a list of keys and old statistics MySQL may look at every row, and wait for those of another sweep.
SWEEP = delete(sessions).where(_s.key == _KEY, _s.set_aside == bindparam("_set_aside"))


def inserted(connection: Connection, values: dict[str, Any]) -> int:
    """When the new session was created, in ms. IntegrityError where its key is taken."""
    if connection.dialect.insert_returning:
        return int(connection.execute(INSERT_RETURNING, values).scalar_one())
    # MySQL can't return what it inserted: it is asked for the time first, so that nothing is left behind on a failure.
    created = values["_created"] if values["_created"] is not None else connection.execute(PING).one().now
    connection.execute(INSERT, values | {"_created": created})
    return int(created)


def delete_returning(connection: Connection, key: str) -> Row[*tuple[Any, ...]] | None:
    """Deletes a session and returns it, in one statement."""
    return connection.execute(DELETE_RETURNING, {"_key": key}).one_or_none()


def load_and_delete(connection: Connection, key: str) -> Row[*tuple[Any, ...]] | None:
    """The same in two statements of one transaction, for MySQL."""
    row = connection.execute(LOAD_LOCKED, {"_key": key}).one_or_none()
    if row is not None:
        connection.execute(DELETE, {"_key": key})
    return row


def sweep(connection: Connection, limit: int) -> Sequence[RowMapping]:
    """The `_key` and `_set_aside` of what one transaction took: those of the first `limit` expired rows that nobody
    else has locked."""
    expired = connection.execute(EXPIRED, {"_limit": limit}).mappings().all()
    if expired:
        connection.execute(SWEEP, [dict(row) for row in expired])
    return expired
