"""Events of sessions, as blinker signals.

The sender is the `Sessions` extension, `key` the SHA-256 of the session's id. Nothing listens unless an application
connects; the nodes' metrics do.
"""

from collections.abc import Callable

from blinker import NamedSignal, Namespace

Notify = Callable[[NamedSignal, str], None]
"""Sends a signal with a session's key; see `Sessions.notify`."""

_signals = Namespace()

session_created = _signals.signal("session-created")
"""A visitor got a session."""
session_renewed = _signals.signal("session-renewed")
"""A session moved to a new id, as at login; `key` is the new one."""
session_ended = _signals.signal("session-ended")
"""A session was ended on purpose, as at logout."""
session_expired = _signals.signal("session-expired")
"""A sweep removed an expired session. Not sent where the store's server removes them (Redis)."""
session_absent = _signals.signal("session-absent")
"""A request brought a genuine cookie of a session that the store does not have: expired, ended, renewed or lost."""
session_refused = _signals.signal("session-refused")
"""An anonymous session could not be started (`key` is empty) or changed, as `SessionOptions.anonymous_rate` and
`anonymous_share` demand."""
session_conflict = _signals.signal("session-conflict")
"""A compare-and-set met a concurrent writer and is tried again."""
