"""The session layers whose sessions `migration.py` takes over: Flask's cookie, Flask-Session in Redis and in SQL.

Another layer is an object with the methods of `OldSessions`. Nothing here unpickles.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from flask import Flask
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import BadData, BadSignature, Signer

from . import extras
from .checks import OptionsError
from .store import Budgets, StoreUnavailable

if TYPE_CHECKING:
    from redis import Redis, RedisCluster
    from sqlalchemy import Engine

log = logging.getLogger(__package__)

FindOwner = Callable[[Mapping[str, Any]], str | int | None]
"""Returns the user who is logged in, from the data of an old session; None for an anonymous one."""

FLASK = SecureCookieSessionInterface()
"""Reads the attributes and the signature of cookies from Flask's configuration."""
_SID = re.compile(r"[A-Za-z0-9_-]{16,128}\Z")


@dataclass(frozen=True, slots=True)
class OldSession:
    """A session of another layer: its data, and the seconds until it expires."""

    data: Mapping[str, Any]
    seconds: float


class OldSessions(Protocol):
    """Reads the sessions of another layer. The methods raise `StoreUnavailable` where its store does not answer."""

    owner: FindOwner | None
    """None: anonymous, or with the option `flask_login` the user whom Flask-Login logged in."""

    def identify(self, app: Flask, value: str) -> str | None:
        """Return what names the session in a cookie's value; None for a cookie of another kind, or a forged one."""
        ...

    def read(self, app: Flask, identity: str) -> OldSession | None:
        """Return the session; None where there is none, or none that can be read."""
        ...

    def delete(self, app: Flask, identity: str) -> None:
        """Delete the session, if it is not all in the cookie. Safe to repeat."""
        ...


class FlaskCookie:
    """Flask's own sessions, which are all in a cookie that `SECRET_KEY` and `SECRET_KEY_FALLBACKS` sign.

    The cookie is `SESSION_COOKIE_NAME`. It counts for `PERMANENT_SESSION_LIFETIME` after it was sent, as in Flask.
    """

    def __init__(self, owner: FindOwner | None = None) -> None:
        self.owner = owner

    def identify(self, app: Flask, value: str) -> str | None:
        return value if self.read(app, value) is not None else None

    def read(self, app: Flask, identity: str) -> OldSession | None:
        serializer = FLASK.get_signing_serializer(app)
        if serializer is None:
            raise OptionsError("FlaskCookie needs SECRET_KEY in the application's configuration: it signed the cookies")
        lifetime = app.permanent_session_lifetime.total_seconds()
        try:
            data, sent = serializer.loads(identity, max_age=int(lifetime), return_timestamp=True)
        except BadData:
            return None
        if not isinstance(data, dict) or not data.keys() - {"_permanent"}:
            return None
        return OldSession(data, lifetime - (datetime.now(UTC) - sent).total_seconds())

    def delete(self, app: Flask, identity: str) -> None:
        """Do nothing: the receipt stays until the cookie would have expired."""


class FlaskSessionRedis:
    """Flask-Session's sessions in Redis. `client` is the application's own, as in `SESSION_REDIS`.

    Only its address and account are used: see `stores/redis/from_client.py`. `SESSION_KEY_PREFIX`,
    `SESSION_USE_SIGNER` and `SESSION_COOKIE_NAME` are read from the application's configuration.
    """

    def __init__(
        self, client: Redis | RedisCluster, owner: FindOwner | None = None, budgets: Budgets | None = None
    ) -> None:
        with extras.named("FlaskSessionRedis"):
            from .stores.redis.client import RedisClient, connect
            from .stores.redis.from_client import to_url

        self.owner = owner
        self._client = RedisClient(connect(to_url(client), budgets or Budgets()))

    def identify(self, app: Flask, value: str) -> str | None:
        return _identify_sid(app, value)

    def read(self, app: Flask, identity: str) -> OldSession | None:
        name = _store_id(app, identity)
        stored, ttl = self._client.send((("GET", name), ("PTTL", name)), idempotent=True)
        if isinstance(stored, Exception) and not str(stored).startswith("WRONGTYPE"):
            raise StoreUnavailable(f"Redis: {stored}") from stored
        return _decode(app, stored, ttl / 1000) if isinstance(stored, bytes) else None

    def delete(self, app: Flask, identity: str) -> None:
        self._client.run([("DEL", _store_id(app, identity))])


class FlaskSessionSql:
    """Flask-Session's sessions in a database. `engine` is the application's own, as `db.engine` of Flask-SQLAlchemy.

    Only its URL is used: see `SqlStore.from_engine`. `SESSION_SQLALCHEMY_TABLE`, `SESSION_SQLALCHEMY_SCHEMA`,
    `SESSION_KEY_PREFIX`, `SESSION_USE_SIGNER` and `SESSION_COOKIE_NAME` are read from the application's configuration.
    """

    def __init__(self, engine: Engine, owner: FindOwner | None = None, budgets: Budgets | None = None) -> None:
        with extras.named("FlaskSessionSql"):
            from .stores.sql.from_engine import make_like
            from .stores.sql.transactions import AutocommitEngine

        self.owner = owner
        budgets = budgets or Budgets()
        self._database = AutocommitEngine(make_like(engine, budgets), budgets, "sessions")

    def identify(self, app: Flask, value: str) -> str | None:
        return _identify_sid(app, value)

    def read(self, app: Flask, identity: str) -> OldSession | None:
        from sqlalchemy import select

        table = _flask_session_table(app)
        wanted = select(table.c.data, table.c.expiry).where(table.c.session_id == _store_id(app, identity))
        row = self._database.read(lambda connection: connection.execute(wanted).first())
        if row is None or row.expiry is None or row.data is None:
            return None
        seconds = (row.expiry.replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds()
        return _decode(app, bytes(row.data), seconds) if seconds > 0 else None

    def delete(self, app: Flask, identity: str) -> None:
        from sqlalchemy import delete

        table = _flask_session_table(app)
        wanted = delete(table).where(table.c.session_id == _store_id(app, identity))
        self._database.write(lambda connection: connection.execute(wanted))


def _flask_session_table(app: Flask) -> Any:
    from sqlalchemy import Column, DateTime, LargeBinary, MetaData, String, Table

    return Table(
        app.config.get("SESSION_SQLALCHEMY_TABLE") or "sessions",
        MetaData(),
        Column("session_id", String(255)),
        Column("data", LargeBinary),
        Column("expiry", DateTime),
        schema=app.config.get("SESSION_SQLALCHEMY_SCHEMA"),
    )


def _identify_sid(app: Flask, value: str) -> str | None:
    """Return the id in a cookie of Flask-Session, whose signature counts where `SESSION_USE_SIGNER` is set."""
    if app.config.get("SESSION_USE_SIGNER"):
        keys = [*reversed(app.config.get("SECRET_KEY_FALLBACKS") or ()), app.secret_key]
        if not app.secret_key:
            raise OptionsError("SESSION_USE_SIGNER needs SECRET_KEY in the application's configuration")
        try:
            value = Signer(keys, salt="flask-session", key_derivation="hmac").unsign(value).decode("ascii", "replace")
        except BadSignature:
            return None
    return value if _SID.match(value) else None


def _store_id(app: Flask, sid: str) -> str:
    return f"{app.config.get('SESSION_KEY_PREFIX', 'session:')}{sid}"


def _decode(app: Flask, stored: bytes, seconds: float) -> OldSession | None:
    """Return the session in a record of Flask-Session: MessagePack or JSON. None for anything else, with a warning.

    It counts as one that was written now, for a slow request of the old application may do so after it is deleted.
    """
    seconds = max(seconds, app.permanent_session_lifetime.total_seconds())
    for decode in (msgspec.msgpack.decode, msgspec.json.decode):
        try:
            data = decode(stored)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            continue
        if isinstance(data, dict):
            return OldSession(data, seconds) if data.keys() - {"_permanent"} else None
    is_pickle = stored[:1] == b"\x80"
    why = "it is a pickle, of Flask-Session before 0.7, and nothing here unpickles" if is_pickle else "it is corrupt"
    log.warning("a session of Flask-Session can't be taken over, and its visitor is anonymous: %s", why)
    return None
