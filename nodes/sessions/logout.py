"""The end of a session, as by a logout, which wins over requests that are in flight.

The key keeps a mark (`marks.py`). A slow request that read the session before saves with `update`, which every store
applies only where the session still exists: it finds the mark and raises `SessionEnded`, so nothing comes back.
"""

from __future__ import annotations

from . import signals
from .marks import MAX_RENEWALS, find_successor
from .persistence import SessionRecord
from .store import Outcome, SessionMark


def end(record: SessionRecord) -> Outcome:
    """End a session; where it was renewed a moment ago, end the one that goes on.

    One round trip, two more for each renewal. APPLIED: it ended. ABSENT: there was none. ENDED: another request ended
    it a moment ago.
    """
    for _ in range(MAX_RENEWALS):
        assert record.key is not None
        outcome = record.store.retire(record.key, SessionMark())
        if outcome is Outcome.APPLIED:
            record.notify(signals.session_ended)
        if outcome is not Outcome.ENDED:
            return outcome
        record.load_again()
        if (newer := find_successor(record)) is None:
            break
        record = newer
    return Outcome.ENDED
