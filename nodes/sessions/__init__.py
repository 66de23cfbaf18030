"""The session layer: a Flask extension that stands alone.

Start with `Sessions`, `SessionOptions` and a store; everything else here is for those who go further: errors to handle,
signals to connect to, and the protocol for a store of one's own.
"""

from .budgets import Budgets
from .counters import counter_key
from .encryption import EncryptedStore, Encryption
from .events import (
    session_absent,
    session_conflict,
    session_created,
    session_ended,
    session_expired,
    session_renewed,
)
from .interface import Sessions
from .options import (
    CookieAttributes,
    OptionsError,
    Priority,
    Proxy,
    Resave,
    SameSite,
    Secure,
    SessionLimit,
    SessionOptions,
    Unset,
)
from .powers import ByUser, Countable, Sweepable, power_of
from .session import Session
from .step_up import fresh_login
from .store import (
    Changes,
    CorruptRecord,
    Lifetime,
    LoginTooOld,
    Outcome,
    Record,
    SessionEnded,
    SessionError,
    SessionTooLarge,
    Store,
    StoreUnavailable,
    TooManySessions,
    Undeliverable,
    UnknownKey,
    UnsupportedRecordVersion,
)
from .stores.file import FileStore
from .stores.memory import MemoryStore
from .stores.redis import Durability, Outage, OutagePolicy, RedisStore
from .sweeper import Sweeper
from .users import UserSession, UserSessions

__all__ = [
    "Budgets",
    "ByUser",
    "Changes",
    "CookieAttributes",
    "CorruptRecord",
    "Countable",
    "Durability",
    "EncryptedStore",
    "Encryption",
    "FileStore",
    "Lifetime",
    "LoginTooOld",
    "MemoryStore",
    "OptionsError",
    "Outage",
    "OutagePolicy",
    "Outcome",
    "Priority",
    "Proxy",
    "Record",
    "RedisStore",
    "Resave",
    "SameSite",
    "Secure",
    "Session",
    "SessionEnded",
    "SessionError",
    "SessionLimit",
    "SessionOptions",
    "SessionTooLarge",
    "Sessions",
    "Store",
    "StoreUnavailable",
    "Sweepable",
    "Sweeper",
    "TooManySessions",
    "Undeliverable",
    "UnknownKey",
    "Unset",
    "UnsupportedRecordVersion",
    "UserSession",
    "UserSessions",
    "counter_key",
    "fresh_login",
    "power_of",
    "session_absent",
    "session_conflict",
    "session_created",
    "session_ended",
    "session_expired",
    "session_renewed",
]
