"""The session library: a Flask extension that needs nothing else of this project.

Start with `Sessions`, `SessionOptions` and a store. Beyond these there are errors to handle, signals to connect to, and
the protocol for a store of your own. Every name below is public. Names that need more than Flask are imported at their
first use; where a package is missing, an ImportError names the extra to install.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import extras as _extras
from .data import SessionData as SessionData
from .extension import Sessions as Sessions
from .extension import error_response as error_response
from .extension import fresh_login as fresh_login
from .extension import session_exempt as session_exempt
from .migration import FlaskCookie as FlaskCookie
from .migration import FlaskSessionRedis as FlaskSessionRedis
from .migration import FlaskSessionSql as FlaskSessionSql
from .migration import OldSession as OldSession
from .migration import OldSessions as OldSessions
from .options import Caching as Caching
from .options import CookieAttributes as CookieAttributes
from .options import OptionsError as OptionsError
from .options import Priority as Priority
from .options import Resave as Resave
from .options import SameSite as SameSite
from .options import Secure as Secure
from .options import SessionLimit as SessionLimit
from .options import SessionOptions as SessionOptions
from .options import TrustProxy as TrustProxy
from .options import Unset as Unset
from .session import Session as Session
from .session import current_session as current_session
from .signals import session_absent as session_absent
from .signals import session_conflict as session_conflict
from .signals import session_created as session_created
from .signals import session_ended as session_ended
from .signals import session_expired as session_expired
from .signals import session_refused as session_refused
from .signals import session_renewed as session_renewed
from .store import ELSEWHERE as ELSEWHERE
from .store import MARK_SECONDS as MARK_SECONDS
from .store import AnonymousRefused as AnonymousRefused
from .store import Budgets as Budgets
from .store import Changes as Changes
from .store import CookieNotSendable as CookieNotSendable
from .store import CorruptRecord as CorruptRecord
from .store import FindsByUser as FindsByUser
from .store import ForeignTable as ForeignTable
from .store import Iterable as Iterable
from .store import Lifetime as Lifetime
from .store import ListsByUser as ListsByUser
from .store import LoginTooOld as LoginTooOld
from .store import MeasuresSpace as MeasuresSpace
from .store import Outcome as Outcome
from .store import PagesByUser as PagesByUser
from .store import PingsAtOnce as PingsAtOnce
from .store import Record as Record
from .store import RecordTooLarge as RecordTooLarge
from .store import SessionEnded as SessionEnded
from .store import SessionError as SessionError
from .store import SessionMark as SessionMark
from .store import SessionTooLarge as SessionTooLarge
from .store import Store as Store
from .store import StoreNearlyFull as StoreNearlyFull
from .store import StoreUnavailable as StoreUnavailable
from .store import Sweepable as Sweepable
from .store import TooManyNewSessions as TooManyNewSessions
from .store import TooManySessions as TooManySessions
from .store import UnknownKey as UnknownKey
from .store import UnsupportedRecordVersion as UnsupportedRecordVersion
from .store import find_capability as find_capability
from .stores.memory import MemoryStore as MemoryStore
from .sweeper import Sweeper as Sweeper
from .users import UserSession as UserSession
from .users import UserSessions as UserSessions

if TYPE_CHECKING:
    from .encryption import EncryptedStore as EncryptedStore
    from .encryption import Encryption as Encryption
    from .stores.express import ExpressStore as ExpressStore
    from .stores.file import FileStore as FileStore
    from .stores.redis import Durability as Durability
    from .stores.redis import Outage as Outage
    from .stores.redis import OutagePolicy as OutagePolicy
    from .stores.redis import RedisStore as RedisStore
    from .stores.sql import SqlStore as SqlStore

_LATER = {
    "EncryptedStore": ".encryption",
    "Encryption": ".encryption",
    "ExpressStore": ".stores.express",
    "FileStore": ".stores.file",
    "Durability": ".stores.redis",
    "Outage": ".stores.redis",
    "OutagePolicy": ".stores.redis",
    "RedisStore": ".stores.redis",
    "SqlStore": ".stores.sql",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        found = getattr(import_module(_LATER[name], __name__), name)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in _extras.EXTRAS:
            raise _extras.make_import_error(name, missing) from error
        if missing == "fcntl":
            raise ImportError(f"{name} needs locks of files as Linux and macOS have them") from error
        raise
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
