"""The session library: a Flask extension that needs nothing else of this project.

Start with `Sessions`, `SessionOptions` and a store. Beyond these there are errors to handle, signals to connect to, and
the protocol for a store of your own. Every name below is public. Names that need more than Flask are imported at their
first use; where a package is missing, an ImportError names the extra to install, and `import *` leaves them out.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from . import extras as _extras
from .capabilities import (
    EndsMany,
    FindsByUser,
    Iterable,
    ListsByUser,
    MeasuresSpace,
    PagesByUser,
    PingsAtOnce,
    Reconnects,
    Sweepable,
    find_capability,
)
from .data import SessionData
from .extension import Sessions, error_response, fresh_login, session_exempt
from .old_sessions import FlaskCookie, FlaskSessionRedis, FlaskSessionSql, OldSession, OldSessions
from .options import (
    Caching,
    CookieAttributes,
    OptionsError,
    Priority,
    Resave,
    SameSite,
    Secure,
    SessionLimit,
    SessionOptions,
    TrustProxy,
    Unset,
)
from .session import Session, current_session
from .signals import (
    session_absent,
    session_conflict,
    session_created,
    session_ended,
    session_expired,
    session_refused,
    session_renewed,
)
from .store import (
    ELSEWHERE,
    MARK_SECONDS,
    AnonymousRefused,
    Budgets,
    Changes,
    CookieNotSendable,
    CorruptRecord,
    ForeignTable,
    Lifetime,
    LoginTooOld,
    NotAllEnded,
    Outcome,
    Record,
    RecordTooLarge,
    SessionEnded,
    SessionError,
    SessionMark,
    SessionTooLarge,
    Store,
    StoreNearlyFull,
    StoreUnavailable,
    TooManyNewSessions,
    TooManySessions,
    UnknownKey,
    UnsupportedRecordVersion,
)
from .stores.memory import MemoryStore
from .sweeper import Sweeper
from .users import UserSession, UserSessions

if TYPE_CHECKING:
    from .encryption import EncryptedStore, Encryption
    from .stores.express import ExpressStore
    from .stores.file import FileStore
    from .stores.redis import Durability, Outage, OutagePolicy, RedisStore
    from .stores.sql import SqlStore

_LATER = {
    ".encryption": ("cryptography", ("EncryptedStore", "Encryption")),
    ".stores.express": ("redis", ("ExpressStore",)),
    ".stores.file": ("fcntl", ("FileStore",)),
    ".stores.redis": ("redis", ("Durability", "Outage", "OutagePolicy", "RedisStore")),
    ".stores.sql": ("sqlalchemy", ("SqlStore",)),
}
"""By module the package that it needs, and its names."""
_MODULES = {name: module for module, (_, names) in _LATER.items() for name in names}

__all__ = [
    "ELSEWHERE",
    "MARK_SECONDS",
    "AnonymousRefused",
    "Budgets",
    "Caching",
    "Changes",
    "CookieAttributes",
    "CookieNotSendable",
    "CorruptRecord",
    "Durability",
    "EncryptedStore",
    "Encryption",
    "EndsMany",
    "ExpressStore",
    "FileStore",
    "FindsByUser",
    "FlaskCookie",
    "FlaskSessionRedis",
    "FlaskSessionSql",
    "ForeignTable",
    "Iterable",
    "Lifetime",
    "ListsByUser",
    "LoginTooOld",
    "MeasuresSpace",
    "MemoryStore",
    "NotAllEnded",
    "OldSession",
    "OldSessions",
    "OptionsError",
    "Outage",
    "OutagePolicy",
    "Outcome",
    "PagesByUser",
    "PingsAtOnce",
    "Priority",
    "Reconnects",
    "Record",
    "RecordTooLarge",
    "RedisStore",
    "Resave",
    "SameSite",
    "Secure",
    "Session",
    "SessionData",
    "SessionEnded",
    "SessionError",
    "SessionLimit",
    "SessionMark",
    "SessionOptions",
    "SessionTooLarge",
    "Sessions",
    "SqlStore",
    "Store",
    "StoreNearlyFull",
    "StoreUnavailable",
    "Sweepable",
    "Sweeper",
    "TooManyNewSessions",
    "TooManySessions",
    "TrustProxy",
    "UnknownKey",
    "Unset",
    "UnsupportedRecordVersion",
    "UserSession",
    "UserSessions",
    "current_session",
    "error_response",
    "find_capability",
    "fresh_login",
    "session_absent",
    "session_conflict",
    "session_created",
    "session_ended",
    "session_exempt",
    "session_expired",
    "session_refused",
    "session_renewed",
]
for _package, _names in _LATER.values():
    if find_spec(_package) is None:
        __all__ = [name for name in __all__ if name not in _names]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with _extras.named(name):
        found = getattr(import_module(_MODULES[name], __name__), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
