"""The renewal of a session: it goes on under a new id, and its old key keeps a mark of that (`marks.py`).

    create the new session, with what was read of the old one
    list the user's sessions, where their number is limited
    retire the old one, if it still has what was read; otherwise carry over what other requests saved, and try again

So the new session has everything before the old one ends, and a step that fails leaves the old one alive. Where the
answer to `retire` is lost, it is sent once more. Where that fails too, it is unknown whether the old session lives, so
the new one is kept for as long as a mark: the next login with the old cookie goes on with whichever of the two is
alive.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

from . import signals
from .capabilities import ListsByUser, find_capability
from .fields import CLIENT_KEY, concurrent_changes
from .marks import MAX_RENEWALS, find_successor, seal
from .options import SessionLimit
from .persistence import ENDED, MAX_CONFLICTS, SessionRecord
from .store import (
    ELSEWHERE,
    Changes,
    NotAllEnded,
    Outcome,
    SessionEnded,
    SessionMark,
    StoreUnavailable,
    TooManySessions,
)
from .users import end_each

log = logging.getLogger(__package__)

EXCESS_SECONDS = 2.0
"""The most time that a login spends on ending sessions beyond `max_sessions`: many, where it was lowered."""
_OVERTAKEN = "the session ended, or another request renewed it, while its id was renewed"


def renew(
    old: SessionRecord,
    owner: str | None,
    keep: bool,
    client: Mapping[str, str] | None,
    confirm: Callable[[], object] | None = None,
) -> SessionRecord:
    """Move a session, which is loaded, to a new id; see `Session.renew`. `client` is stored with it."""
    confirm = confirm or (lambda: None)
    is_login, had_session = owner is not None, old.record is not None
    keep = keep and (owner is None or old.record is None or old.record.owner in {None, owner})
    if owner is not None and keep and (newer := _newest(old)) is not None:
        if _owner(newer) is None:
            _bring(old, newer)
            return renew(newer, owner, keep, client, confirm)
        if _owner(newer) == owner:
            _bring(old, newer)
            confirm()
            return newer
    own = old.fields.pending()
    fields = own.apply_to(old.fields.stored) if keep else {}
    if client is not None:
        fields[CLIENT_KEY] = old.store.codec.encode(client)
    if old.record is not None and keep and not is_login:
        new = old.create(fields, old.record.owner, old.record.created)
    else:
        new = old.create(fields, owner)
    assert new.key is not None
    handover = _Handover(old, new, own, keep)
    try:
        excess = _keys_over_limit(new, old.key) if is_login else []
        confirm()
        has_newer = old.mark is not None and old.mark.successor != ELSEWHERE
        outcome = Outcome.ABSENT if old.key is None or has_newer else handover.retire()
        if outcome is Outcome.ENDED:
            old.load_again()
            if owner is not None and keep and (newer := _newest(old)) is not None and _owner(newer) == owner:
                _bring(old, newer)
                new.discard()
                return newer
        was_renewed = outcome is Outcome.ENDED and old.mark not in {None, SessionMark(), SessionMark(ELSEWHERE)}
        if was_renewed or (outcome is not Outcome.APPLIED and not is_login):
            raise SessionEnded(_OVERTAKEN)  # noqa: TRY301 - undone as others are
    except Exception:
        if handover.is_unknown:
            new.shorten()
        else:
            new.discard()
        raise
    new.notify(signals.session_renewed if had_session else signals.session_created)
    _end_excess(new, excess)
    return new


def begin_again(ended: SessionRecord) -> SessionRecord:
    """Return a new anonymous session with the changes of a request whose session was ended elsewhere.

    Raises `SessionEnded` where another request was faster, since its cookie would be replaced.
    """
    new = ended.create_anonymous()
    handover = _Handover(ended, new, Changes(), keep=False)
    try:
        if handover.retire() is Outcome.ENDED:
            raise SessionEnded(ENDED)  # noqa: TRY301 - undone as others are
    except Exception:
        new.discard()
        raise
    new.notify(signals.session_created)
    return new


class _Handover:
    """The last step from `old` to `new`, which the store has already. `own` are this request's changes."""

    def __init__(self, old: SessionRecord, new: SessionRecord, own: Changes, keep: bool) -> None:
        self._old = old
        self._new = new
        self._own = own
        self._keep = keep
        self.is_unknown = False
        """Whether the last request to retire the old session had no answer, so that the new one must be kept."""

    def retire(self) -> Outcome:
        """Retire the old session once the new one has all that it holds. Raises `StoreUnavailable`.

        ENDED: the mark of another request is there. Two round trips more for each conflict.
        """
        old, new = self._old, self._new
        assert old.id is not None
        assert new.id is not None
        mark = SessionMark(seal(new.id, old.id, old.options.secret_bytes[0]))
        for _ in range(MAX_CONFLICTS):
            copied = old.record if self._keep else None
            outcome = self._retire_once(mark)
            if outcome is not Outcome.CONFLICT:
                return outcome
            if old.load_again() is not None and copied is not None and old.record is not None:
                late = concurrent_changes(copied.fields, old.record.fields, self._own)
                if late is not None:
                    _carry_over(new, late)
        raise StoreUnavailable(f"gave up after {MAX_CONFLICTS} conflicts in a renewal")

    def _retire_once(self, mark: SessionMark) -> Outcome:
        store, key, expect = self._old.store, self._old.key, self._old.record if self._keep else None
        assert key is not None
        self.is_unknown = True
        try:
            outcome = store.retire(key, mark, expect)
        except StoreUnavailable:
            outcome = store.retire(key, mark, expect)
            if outcome is Outcome.ENDED and store.load(key) == mark:
                outcome = Outcome.APPLIED  # the first time
        self.is_unknown = False
        return outcome


def _carry_over(new: SessionRecord, late: Changes) -> None:
    """Apply the changes that other requests saved under the old id during the renewal."""
    new.update(late)
    new.fields.reset(late.apply_to(new.fields.stored))


def _newest(old: SessionRecord) -> SessionRecord | None:
    """Return the session, loaded, that renewals made of `old`; None where there is none. A round trip for each mark."""
    session = old
    for _ in range(MAX_RENEWALS):
        if (newer := find_successor(session)) is None:
            break
        session = newer
        session.load_again()
    return None if session is old or session.record is None else session


def _owner(session: SessionRecord) -> str | None:
    assert session.record is not None
    return session.record.owner


def _bring(old: SessionRecord, newer: SessionRecord) -> None:
    """Make the changes of this request, which began with `old`, in the session that goes on."""
    own = old.fields.pending()
    for name in own.set:
        newer.fields.assign(name, old.fields.values[name])
    for name in own.delete & newer.fields.values.keys():
        newer.fields.delete(name)


# ---- the limit of a user's sessions


def _keys_over_limit(new: SessionRecord, old_key: str | None) -> list[str]:
    """Return the keys of the user's oldest sessions beyond `max_sessions`, the new one included in the count.

    Each login counts after it created its session. So of several concurrent logins the last to count sees all
    sessions, and all agree on the oldest, which may include their own. Where new logins are refused
    (`SessionLimit.REFUSE`), concurrent ones may all be refused, since none can tell which came first.
    """
    most, record = new.options.max_sessions, new.record
    if most is None:
        return []
    by_user = find_capability(new.store, ListsByUser)
    assert by_user is not None, "Sessions demands it"
    assert record is not None
    assert record.owner is not None
    keys = [key for key in by_user.keys_of(record.owner) if key != old_key]
    if len(keys) > most and new.options.session_limit is SessionLimit.REFUSE:
        raise TooManySessions(f"login refused: this user has {most} sessions, the maximum; end one of them first")
    return keys[:-most]


def _end_excess(new: SessionRecord, keys: list[str]) -> None:
    """End these sessions once the login is done, so that a login that fails has ended none."""
    try:
        until = time.monotonic() + EXCESS_SECONDS
        end_each(new.store, keys, lambda key: new.request.notify(signals.session_ended, key), until)
    except (StoreUnavailable, NotAllEnded) as error:
        log.warning("sessions beyond max_sessions could not be ended; the next login tries again: %s", error)
    if new.key in keys:
        raise SessionEnded("later logins of this user ended this one: it was beyond max_sessions")
