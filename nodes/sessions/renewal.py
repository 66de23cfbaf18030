"""How a session gets its id: made anew, or moved from an older one, as at login."""

from __future__ import annotations

from collections.abc import Mapping

from . import events
from .fields import others_changes
from .options import OptionsError, SessionLimit
from .powers import ByUser, power_of
from .store import Record, SessionEnded, TooManySessions
from .stored import CLIENT_KEY, COOKIE_KEY, StoredSession, lifetime_of


def create(
    like: StoredSession, fields: dict[str, bytes], owner: str | None = None, created: float | None = None
) -> StoredSession:
    """A session under a new id, with the values that `like` holds. `SessionTooLarge` where they exceed the bound."""
    store, options = like.store, like.options
    like.fields.check_size(fields)
    own = like.own_cookie if COOKIE_KEY in fields else {}
    if created is None and own.get("expires") is not None:
        created = store.ping()  # what is left until a date, only the store's clock can tell
    lifetime = lifetime_of(own, options, created)
    for _ in range(3):  # a collision can only come from an application's own generate_id
        session_id = options.generate_id()
        if not store.cookie.is_canonical(session_id):
            raise OptionsError("generate_id must return 16 to 128 characters of A-Z a-z 0-9 - _")
        began = store.create(store.cookie.key_of(session_id), fields, owner, lifetime, created)
        if began is not None:
            made = StoredSession(store, options, like.tell, session_id)
            made.record = Record(fields, owner, began, lifetime.idle)
            made.loaded = made.touched = True
            made.fields = like.fields
            made.fields.replaced(fields)
            return made
    raise OptionsError("generate_id returned ids that are taken, three times in a row: it must be unpredictable")


def renew(old: StoredSession, owner: str | None, keep: bool, client: Mapping[str, str] | None = None) -> StoredSession:
    """Moves `old`, which is loaded, to a new id; see `Session.renew`. `client` is remembered."""
    store = old.store
    is_login = owner is not None
    before, mine = old.fields.stored, old.fields.pending()
    fields = mine.applied_to(before) if keep else {}
    if client is not None:
        fields[CLIENT_KEY] = store.codec.encode(client)
    created = None
    if old.record is not None and keep and not is_login:
        owner, created = old.record.owner, old.record.created
    new = create(old, fields, owner, created)
    assert new.key is not None
    if is_login and old.options.max_sessions is not None:
        _keep_within_limit(new, old.key, old.options.max_sessions)
    last = store.delete(old.key) if old.record is not None and old.key is not None else None
    if last is None and old.record is not None and not is_login:
        store.delete(new.key)
        raise SessionEnded("the session ended while its id was renewed")
    known = keep and last is not None and not last.unread  # what can't be read can't be carried over
    if known and last is not None and (late := others_changes(before, last.fields, mine)) is not None:
        new.update(late)
        new.fields.replaced(late.applied_to(fields))
    new.notify(events.session_renewed if old.record is not None else events.session_created)
    return new


def _keep_within_limit(new: StoredSession, old_key: str | None, most: int) -> None:
    """Done once the session is made, so that of several logins at the same time none slips through.

    Where the newest is refused, that may be all of those: who came first among them nobody can tell for sure.
    """
    by_user, record = power_of(new.store, ByUser), new.record
    assert by_user is not None, "Sessions demands it"
    assert new.key is not None
    assert record is not None
    assert record.owner is not None
    keys = [key for key in by_user.keys_of(record.owner) if key != old_key]
    if len(keys) <= most:
        return
    if new.options.session_limit is SessionLimit.REFUSE:
        new.store.delete(new.key)
        raise TooManySessions(f"you have {most} sessions, and may have no more: end one of them first")
    for key in [key for key in keys if key != new.key][: len(keys) - most]:
        if new.store.delete(key) is not None:
            new.tell(events.session_ended, key)
