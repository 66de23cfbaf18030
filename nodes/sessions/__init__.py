"""The session layer: a Flask extension that stands alone.

Start with `Sessions`, `SessionOptions` and a store; everything else here is for those who go further: errors to handle,
signals to connect to, and the protocol for a store of one's own.
"""

from .budgets import Budgets
from .events import session_conflict, session_created, session_ended, session_expired, session_renewed
from .interface import Sessions
from .options import OptionsError, Priority, Proxy, Resave, SameSite, Secure, SessionOptions, Unset
from .session import Session
from .store import (
    Changes,
    Lifetime,
    Outcome,
    Record,
    RecordTooNew,
    SessionEnded,
    SessionError,
    SessionTooLarge,
    Store,
    StoreUnavailable,
)
from .stores.memory import MemoryStore
from .stores.redis import RedisStore

__all__ = [
    "Budgets",
    "Changes",
    "Lifetime",
    "MemoryStore",
    "OptionsError",
    "Outcome",
    "Priority",
    "Proxy",
    "Record",
    "RecordTooNew",
    "RedisStore",
    "Resave",
    "SameSite",
    "Secure",
    "Session",
    "SessionEnded",
    "SessionError",
    "SessionOptions",
    "SessionTooLarge",
    "Sessions",
    "Store",
    "StoreUnavailable",
    "Unset",
    "session_conflict",
    "session_created",
    "session_ended",
    "session_expired",
    "session_renewed",
]
