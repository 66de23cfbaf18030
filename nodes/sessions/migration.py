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
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from flask import Flask, Response
from werkzeug.http import dump_cookie

from . import flask_login, signals
from .checks import OptionsError, check_type, to_owner
from .cookie import cookie_values
from .fields import COOKIE_KEY, SessionLifetime, to_field
from .marks import seal, unseal
from .old_sessions import FLASK, FindOwner, OldSession, OldSessions
from .options import SessionOptions
from .persistence import RequestContext, SessionRecord
from .state import CookieAction, SessionState
from .store import LONGEST, MARK_SECONDS, Changes, Lifetime, Record, SessionTooLarge, Store, StoreUnavailable

log = logging.getLogger(__package__)

_MAX_COOKIE = 8192
_SUCCESSOR = "successor"


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
        values = [each for each in cookie_values(header, FLASK.get_cookie_name(app)) if len(each) <= _MAX_COOKIE]
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
        FLASK.get_cookie_name(app),
        "",
        max_age=0,
        expires=0,
        domain=FLASK.get_cookie_domain(app),
        path=FLASK.get_cookie_path(app),
        secure=FLASK.get_cookie_secure(app) or FLASK.get_cookie_partitioned(app),
        httponly=FLASK.get_cookie_httponly(app),
        partitioned=FLASK.get_cookie_partitioned(app),
    )
    if _place(clear) != _place(own_cookie):
        response.headers.add("Set-Cookie", clear)


def _place(header: str) -> tuple[str, ...]:
    """Return name, domain and path of a Set-Cookie header: what browsers tell cookies apart by."""
    first, *attributes = header.split("; ")
    places = (each for each in attributes if each.startswith(("Domain=", "Path=")))
    return (first.partition("=")[0], *sorted(places))
