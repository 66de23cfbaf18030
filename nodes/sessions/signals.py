"""What happens to sessions, as blinker signals. The sender is the `Sessions` extension, `key` the SHA-256 of the
session's id.

Nothing listens unless an application connects; the nodes' metrics do.
"""

from blinker import Namespace

_signals = Namespace()

session_created = _signals.signal("session-created")
"""A visitor got a session."""
session_renewed = _signals.signal("session-renewed")
"""A session moved to a new id, as at login; `key` is the new one."""
session_ended = _signals.signal("session-ended")
"""A session was ended on purpose, as at logout."""
session_expired = _signals.signal("session-expired")
"""A sweep removed a session that had expired. Where the store's server does that (Redis), nobody is told."""
session_absent = _signals.signal("session-absent")
"""A genuine cookie came for which the store has no session (any more): it expired, was ended, renewed or got lost."""
session_conflict = _signals.signal("session-conflict")
"""A compare-and-set met a concurrent writer and is tried again."""
