"""Sessions of another session layer, taken over at their first use: `Sessions(app, store=store, migrate_from=...)`.

    verify the old cookie                                      no round trip
    read the old session                                       none where all of it is in the cookie
    look for the receipt of an earlier takeover                load
    create a session with its data, under a new id             create; before it ping, where it has an owner
    look whether all sessions, or the owner's, were ended      load, or two
    create the receipt, which names the new session            create
    delete the old session

The receipt's key is the SHA-256 of what the old cookie says. Its creation decides between concurrent requests: one
succeeds, the others find its receipt, drop the session that they made, and go on with the one that it names. It stays
until the old cookie would have expired, because a signed cookie can't be deleted: a request that brings one later than
`MARK_SECONDS` after the takeover is anonymous, and so is one after the logout.

The old session is deleted last, so that a failure before leaves it to the next request. Only requests without a cookie
of ours come here, so the others cost nothing more. Nothing here unpickles.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from flask import Flask, Response
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import BadData, BadSignature, Signer
from werkzeug.http import dump_cookie

from . import extras, flask_login, signals
from .checks import OptionsError, check_type, to_owner
from .cookie import cookie_values
from .fields import COOKIE_KEY, SessionLifetime, to_field
from .options import SessionOptions
from .persistence import RequestContext, SessionRecord
from .renewal import seal, unseal
from .state import CookieAction, SessionState
from .store import LONGEST, MARK_SECONDS, Budgets, Changes, Lifetime, Record, SessionTooLarge, Store, StoreUnavailable

if TYPE_CHECKING:
    from redis import Redis, RedisCluster
    from sqlalchemy import Engine

log = logging.getLogger(__package__)

FindOwner = Callable[[Mapping[str, Any]], str | int | None]
"""Returns the user who is logged in, from the data of an old session; None for an anonymous one."""

_MAX_COOKIE = 8192
_SID = re.compile(r"[A-Za-z0-9_-]{16,128}\Z")
_SUCCESSOR = "successor"
_FLASK = SecureCookieSessionInterface()


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


@dataclass(frozen=True, slots=True)
class TakenOver:
    """The outcome for the old cookie of a request."""

    session_id: str | None
    """The session of ours that goes on; None where the visitor is anonymous."""
    sets_cookie: bool
    """Whether that session is alive, so that the browser gets its cookie."""


class Migration:
    """Takes sessions of `sources` over into `store`."""

    def __init__(self, store: Store, sources: Sequence[OldSessions]) -> None:
        if store.cookie.is_shared:
            raise OptionsError("migrate_from must be left out where another framework shares the sessions")
        for source in sources:
            if isinstance(source, type) or not callable(getattr(source, "identify", None)):
                raise TypeError(f"migrate_from must have objects such as FlaskCookie(), not {source!r}")
            if source.owner is not None and not callable(source.owner):
                raise TypeError(f"owner must be a function or None, not {source.owner!r}")
        self._store = store
        self._sources = sources

    def take_over(self, app: Flask, header: str, options: SessionOptions, request: RequestContext) -> TakenOver | None:
        """Take over the session that the request's Cookie header names. None where it names none.

        Raises `StoreUnavailable` with the old session left as it is.
        """
        values = [each for each in cookie_values(header, _FLASK.get_cookie_name(app)) if len(each) <= _MAX_COOKIE]
        for source in self._sources:
            found = {identity for value in values if (identity := source.identify(app, value)) is not None}
            if len(found) == 1:  # of two, one may have been planted from a sibling domain
                return _Takeover(self._store, app, source, found.pop(), options, request).run()
        return None

    def end(self, owner: str | None, options: SessionOptions) -> str:
        """Refuse, from now on, the old sessions of `owner`, or all of them with None. Return the mark's key."""
        key = _mark_key(self._store, owner)
        if owner is not None and not any(_owner_of(source, options) for source in self._sources):
            return key  # it is unknown whose they are
        lifetime = Lifetime(options.permanent_lifetime + MARK_SECONDS, LONGEST)
        if self._store.create(key, {}, None, lifetime) is None:
            self._store.update(key, Changes(), lifetime)
        return key


class _Takeover:
    """The takeover of one session, by one request."""

    def __init__(
        self,
        store: Store,
        app: Flask,
        source: OldSessions,
        identity: str,
        options: SessionOptions,
        request: RequestContext,
    ) -> None:
        self._store = store
        self._app = app
        self._source = source
        self._identity = identity
        self._options = options
        self._request = request
        self._receipt_key = store.cookie.to_key(hashlib.sha256(identity.encode()).hexdigest())

    def run(self) -> TakenOver | None:
        old = self._source.read(self._app, self._identity)
        receipt = self._store.load(self._receipt_key)
        if isinstance(receipt, Record):
            if old is not None:
                self._delete_old()
            return self._join(receipt)
        if old is None:
            return None
        new, owner = self._create(old)
        if new is None:
            return None
        try:
            ended = self._is_ended(owner)
        except StoreUnavailable:
            new.discard()
            raise
        if ended:
            new.discard()
            return TakenOver(None, sets_cookie=False)
        # Where the answer is lost, the receipt may be there: the session that it names is not discarded.
        if not self._leave_receipt(new, old.seconds):
            new.discard()
            receipt = self._store.load(self._receipt_key)
            return self._join(receipt) if isinstance(receipt, Record) else TakenOver(None, sets_cookie=False)
        new.notify(signals.session_created)
        self._delete_old()
        return TakenOver(new.id, sets_cookie=True)

    def _create(self, old: OldSession) -> tuple[SessionRecord | None, str | None]:
        """Return a session of ours with the data, and its owner. None for data that no session here can hold."""
        record = SessionRecord(self._store, self._options, self._request, None)
        data = dict(old.data)
        find = _owner_of(self._source, self._options)
        found, owner = None if find is None else find(old.data), None
        check_type("the result of owner", found, (str, int, type(None)), "a str or None")
        try:
            owner = None if found is None else to_owner(found, "the result of owner")
            if data.pop("_permanent", False):
                record.fields.assign(COOKIE_KEY, msgspec.structs.asdict(SessionLifetime(permanent=True)))
            for key, value in data.items():
                check_type("a key", key, str, "a str")
                record.fields.assign(to_field(key), value)
            created = None
            if owner is not None:
                # It is unknown when they logged in, so this must not pass for a fresh login.
                created = self._store.ping() - self._options.absolute_timeout / 2
            return record.create(dict(record.fields.pending().set), owner, created), owner
        except OptionsError:
            raise
        except (TypeError, ValueError, SessionTooLarge) as error:
            log.warning("a session can't be taken over, and its visitor is anonymous: %s", error)
            return None, owner

    def _is_ended(self, owner: str | None) -> bool:
        """Return whether all sessions, or those of the owner, were ended since the old one began."""
        owners = {None, owner}
        return any(isinstance(self._store.load(_mark_key(self._store, each)), Record) for each in owners)

    def _leave_receipt(self, new: SessionRecord, seconds: float) -> bool:
        """Create the receipt. Return False where another request was faster."""
        assert new.id is not None
        seconds = max(seconds, 0) + MARK_SECONDS  # more than the clocks of two nodes differ
        sealed = seal(new.id, self._identity, self._options.secret_bytes[0])
        fields = {_SUCCESSOR: self._store.codec.encode(sealed)}
        return self._store.create(self._receipt_key, fields, None, Lifetime(seconds, seconds)) is not None

    def _join(self, receipt: Record) -> TakenOver:
        """Return the session that an earlier request made of this one, if that was a moment ago."""
        sealed = self._store.codec.decode(receipt.fields.get(_SUCCESSOR, b"\xc0"))
        ids = (unseal(sealed, self._identity, each) for each in self._options.secret_bytes if sealed is not None)
        session_id = next((each for each in ids if each is not None), None)
        if session_id is None or self._store.ping() - receipt.created > MARK_SECONDS:
            return TakenOver(None, sets_cookie=False)
        is_alive = isinstance(self._store.load(self._store.cookie.to_key(session_id)), Record)
        return TakenOver(session_id, sets_cookie=is_alive)

    def _delete_old(self) -> None:
        """Delete the old session. Where that fails, the receipt makes sure that nobody takes it over again."""
        try:
            self._source.delete(self._app, self._identity)
        except StoreUnavailable as error:
            log.warning("a session was taken over, and the old one could not be deleted: %s", error)


def _owner_of(source: OldSessions, options: SessionOptions) -> FindOwner | None:
    """Return the function that finds the owner: the source's, or else Flask-Login's where the options follow it."""
    return source.owner or (flask_login.find_owner if options.flask_login else None)


def _mark_key(store: Store, owner: str | None) -> str:
    """Return the key of the mark that all old sessions, or those of an owner, were ended."""
    text = "ended\0" if owner is None else f"ended\0\0{owner}"
    return store.cookie.to_key(hashlib.sha256(text.encode()).hexdigest())


def finish(taken: TakenOver, app: Flask, state: SessionState, response: Response, own_cookie: str) -> None:
    """Have the browser get the new cookie and drop the old one. `own_cookie` is a Set-Cookie header of this session.

    An old cookie with the same name, domain and path as ours is replaced by ours, and must not be cleared: a late
    request would clear a newer one.
    """
    is_same = taken.session_id is not None and state.unloaded().id == taken.session_id
    if taken.sets_cookie and is_same and state.cookie_action is CookieAction.NONE:
        state.cookie_action = CookieAction.SET
    clear = dump_cookie(
        _FLASK.get_cookie_name(app),
        "",
        max_age=0,
        expires=0,
        domain=_FLASK.get_cookie_domain(app),
        path=_FLASK.get_cookie_path(app),
        secure=_FLASK.get_cookie_secure(app) or _FLASK.get_cookie_partitioned(app),
        httponly=_FLASK.get_cookie_httponly(app),
        partitioned=_FLASK.get_cookie_partitioned(app),
    )
    if _place(clear) != _place(own_cookie):
        response.headers.add("Set-Cookie", clear)


def _place(header: str) -> tuple[str, ...]:
    """Return name, domain and path of a Set-Cookie header: what browsers tell cookies apart by."""
    first, *attributes = header.split("; ")
    places = (each for each in attributes if each.startswith(("Domain=", "Path=")))
    return (first.partition("=")[0], *sorted(places))


# ---- the layers whose sessions are taken over


class FlaskCookie:
    """Flask's own sessions, which are all in a cookie that `SECRET_KEY` and `SECRET_KEY_FALLBACKS` sign.

    The cookie is `SESSION_COOKIE_NAME`. It counts for `PERMANENT_SESSION_LIFETIME` after it was sent, as in Flask.
    """

    def __init__(self, owner: FindOwner | None = None) -> None:
        self.owner = owner

    def identify(self, app: Flask, value: str) -> str | None:
        return value if self._loads(app, value) is not None else None

    def read(self, app: Flask, identity: str) -> OldSession | None:
        return self._loads(app, identity)

    def delete(self, app: Flask, identity: str) -> None:
        """Do nothing: the receipt stays until the cookie would have expired."""

    def _loads(self, app: Flask, value: str) -> OldSession | None:
        serializer = _FLASK.get_signing_serializer(app)
        if serializer is None:
            raise OptionsError("FlaskCookie needs SECRET_KEY in the application's configuration: it signed the cookies")
        lifetime = app.permanent_session_lifetime.total_seconds()
        try:
            data, sent = serializer.loads(value, max_age=int(lifetime), return_timestamp=True)
        except BadData:
            return None
        if not isinstance(data, dict) or not data.keys() - {"_permanent"}:
            return None
        return OldSession(data, lifetime - (datetime.now(UTC) - sent).total_seconds())


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
