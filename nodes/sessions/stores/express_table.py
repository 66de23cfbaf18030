"""express-mysql-session's table in MySQL or MariaDB, and our statements on it.

Its `expires` has whole seconds, so a session of ours ends up to a second early, and never late. Damaged rows get a key
of their own, `damaged:…`, and are kept for a day.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    Row,
    String,
    Table,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    select,
)
from sqlalchemy import update as update_of
from sqlalchemy.dialects import mysql

from ..counters import PATTERN
from .sql_schema import now_ms

KEPT_ASIDE_SECONDS = 24 * 60 * 60
DAMAGED = "damaged:"
_EXACT = "utf8mb4_bin"

metadata = MetaData()
sessions = Table(
    "sessions",
    metadata,
    Column("session_id", mysql.VARCHAR(128, charset="utf8mb4", collation=_EXACT), primary_key=True),
    Column("expires", mysql.INTEGER(display_width=11, unsigned=True), nullable=False),
    Column("data", mysql.MEDIUMTEXT(charset="utf8mb4", collation=_EXACT)),
    mysql_engine="InnoDB",
    mariadb_engine="InnoDB",
)

_s = sessions.c
_KEY = bindparam("_key", type_=String)
_this = _s.session_id == _KEY
_live = _s.expires * 1000 > now_ms()
_session = and_(_s.session_id.not_like(f"{DAMAGED}%"), ~_s.session_id.regexp_match(PATTERN))
_record = (_s.data, _s.expires, now_ms().label("now"))
_values = {"expires": bindparam("_expires"), "data": bindparam("_data", type_=String)}

LOAD = select(*_record).where(_this, _live)
LOAD_LOCKED = select(*_record).where(_this).with_for_update()
INSERT = insert(sessions).values(session_id=_KEY, **_values)
DELETE = delete(sessions).where(_this)
DELETE_EXPIRED = DELETE.where(~_live)
# In the exact collation even where somebody made the column with another one, to which "Alice" and "alice" are equal.
WRITE = (
    update_of(sessions)
    .where(_this, _live, _s.data == bindparam("_before", type_=String).collate(_EXACT))
    .values(_values)
)
TOUCH = update_of(sessions).where(_this, _live).values(expires=_values["expires"])
SET_ASIDE = (
    update_of(sessions)
    .where(_this)
    .values(session_id=bindparam("_aside", type_=String), expires=now_ms().op("DIV")(1000) + KEPT_ASIDE_SECONDS)
)
# Asks the table too: a database that is up but can't read the sessions is not available.
PING = select(now_ms().label("now"), exists(select(_s.session_id)).label("any"))
KEYS = (
    select(_s.session_id)
    .where(_s.session_id > bindparam("_after", type_=String), _session, _live)
    .order_by(_s.session_id)
    .limit(bindparam("_limit"))
)
COUNT = select(func.count()).select_from(sessions).where(_session, _live)
# Without a lock: the table has no index for it, and who locks whatever is looked at makes everybody wait.
EXPIRED = select(_s.session_id).where(~_live).limit(bindparam("_limit"))


def load_and_delete(connection: Connection, key: str) -> Row[*tuple[Any, ...]] | None:
    """Within a transaction."""
    row = connection.execute(LOAD_LOCKED, {"_key": key}).one_or_none()
    if row is not None:
        connection.execute(DELETE, {"_key": key})
    return row


def sweep(connection: Connection, limit: int) -> list[str]:
    """The keys of the first `limit` expired rows that it removed: others may, or give them a longer life, meanwhile."""
    keys = connection.execute(EXPIRED, {"_limit": limit}).scalars().all()
    return [key for key in keys if connection.execute(DELETE_EXPIRED, {"_key": key}).rowcount]
