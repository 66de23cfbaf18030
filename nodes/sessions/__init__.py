"""The session library: a Flask extension that needs nothing else of this project.

Start with `Sessions`, `SessionOptions` and a store. Beyond these there are errors to handle, signals to connect to, and
the protocol for a store of your own.
"""

from .encryption import EncryptedStore, Encryption
from .extension import Sessions, fresh_login
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
from .session import Session
from .signals import (
    session_absent,
    session_conflict,
    session_created,
    session_ended,
    session_expired,
    session_renewed,
)
from .store import (
    Budgets,
    Changes,
    CookieNotSendable,
    CorruptRecord,
    Iterable,
    Lifetime,
    ListsByUser,
    LoginTooOld,
    Outcome,
    Record,
    SessionEnded,
    SessionError,
    SessionTooLarge,
    Store,
    StoreUnavailable,
    Sweepable,
    TooManySessions,
    UnknownKey,
    UnsupportedRecordVersion,
    find_capability,
)
from .stores.file import FileStore
from .stores.memory import MemoryStore
from .stores.redis import Durability, Outage, OutagePolicy, RedisStore
from .sweeper import Sweeper
from .users import UserSession, UserSessions

__all__ = [
    "Budgets",
    "Changes",
    "CookieAttributes",
    "CookieNotSendable",
    "CorruptRecord",
    "Durability",
    "EncryptedStore",
    "Encryption",
    "FileStore",
    "Iterable",
    "Lifetime",
    "ListsByUser",
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
    "UnknownKey",
    "Unset",
    "UnsupportedRecordVersion",
    "UserSession",
    "UserSessions",
    "find_capability",
    "fresh_login",
    "session_absent",
    "session_conflict",
    "session_created",
    "session_ended",
    "session_expired",
    "session_renewed",
]
