"""The lines of a history. Times are seconds since the epoch, and agree between processes of one machine."""

import time
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

VERSION = 2
"""Rises when a field changes its meaning; new fields do not raise it, and readers ignore those they do not know."""

_EPOCH = time.time() - time.monotonic()

STOPPED = "stopped"
"""The error of an operation that its client cancelled at the end of the run: unknown, and not a failure."""
GAVE_UP = "gave up"
"""The error of an operation whose user did not wait for the answer: unknown, and not a failure."""


class Action(StrEnum):
    """An operation of a virtual user; docs/history.md has the requests."""

    LOOK = "look"
    ACCOUNT = "account"
    LOGIN = "login"
    LOGOUT = "logout"
    VISIT = "visit"
    ADD = "add"
    EMPTY = "empty"
    LIST = "list"
    END_OTHERS = "end others"
    PASSWORD = "password"  # noqa: S105  # no secret


RENEWALS = frozenset({Action.LOGIN, Action.PASSWORD})
"""Operations that give the session a new id and leave its user logged in."""


class OpOutcome(StrEnum):
    """How an operation ended: carried out, certainly not carried out, or unknown (carried out now, later or never)."""

    OK = "ok"
    FAIL = "fail"
    UNKNOWN = "unknown"


class Header(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="is", tag="history"):
    """The first line.

    `cluster` describes the cluster and the load. A session that has not been used for
    `idle_timeout` seconds, or is older than `lifetime` seconds, may have expired; None: sessions do not expire.
    `login_empties`: a login may begin without the values of the session before.
    `since`: only the end of a long history was kept, what is known since that time; None: all of it.
    """

    version: int
    title: str
    started: float
    cluster: Mapping[str, Any] = {}
    idle_timeout: float | None = None
    lifetime: float | None = None
    login_empties: bool = False
    since: float | None = None


class Op(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="is", tag="op"):
    """One request of one virtual user, written when it has ended.

    `who` sent it; of one `who` at most one is in flight. `session` names the session whose newest cookie was sent
    along: a name begins with the request that brings the first cookie, and stays when a login renews the id. Several
    `who` may share one. In a browser with tabs a name stays as well when an answer brings another session's cookie:
    what the user sees is one session, and `held` and `brought` number its ids.

    `password` is the number of the password that was sent (of the new one where it is changed), among those of the
    account: 1 is the first, and a later one is greater. 0: not told.

    `user`, `visits`, `cart` are what the answer shows, UNSET where it does not show it (user None: no user is
    logged in). `replaced`: the answer brought another session's cookie than the one sent; UNSET if none was sent.
    `shed`: the answer was a 503 with Retry-After. `refused`: a login whose password the application
    refused, as far as the answer tells; a login with status 401 is one, too.

    `expected_…` are the expectations of the virtual user, and `found` its own conclusion. They are UNSET and empty
    where other clients use the session too, so that the user cannot know. The checker reads none of them.
    """

    who: str
    account: str
    session: str
    action: Action
    item: str = ""
    quantity: int = 0
    outcome: OpOutcome
    user: str | UnsetType | None = UNSET
    visits: int | UnsetType = UNSET
    cart: Mapping[str, int] | UnsetType = UNSET
    replaced: bool | UnsetType = UNSET
    held: int = 0
    brought: int = 0
    password: int = 0
    method: str
    path: str
    status: int = 0
    shed: bool = False
    refused: bool = False
    error: str = ""
    node: str = ""
    upstream: str = ""
    upstream_status: str = ""
    expected_user: str | UnsetType | None = UNSET
    expected_visits: tuple[int, int] | UnsetType = UNSET
    expected_cart: Mapping[str, tuple[int, int]] | UnsetType = UNSET
    found: tuple[str, ...] = ()
    started: float
    ended: float


class Probe(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="is", tag="probe"):
    """One request of the independent prober. It was due `late` seconds before it was sent: the prober's own delay."""

    target: str
    started: float
    ended: float
    outcome: OpOutcome
    status: int = 0
    node: str = ""
    error: str = ""
    late: float = 0.0


class Mark(msgspec.Struct, frozen=True, tag_field="is", tag="mark"):
    """An instant of the run itself: a phase begins ("before", "during", "after" or another name), a fault is applied
    ("fault") or undone ("undo"), or the last phase ends ("end")."""

    at: float
    name: str


class Note(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="is", tag="note"):
    """A remark, with figures such as {"generator_cpu": 0.4, "users": 30}. Two processes use different texts."""

    at: float
    text: str
    figures: Mapping[str, float] = {}


class End(msgspec.Struct, frozen=True, tag_field="is", tag="end"):
    """The last line: how many operations and probes there are. Without it, the file is truncated."""

    ops: int
    probes: int


Event = Header | Op | Probe | Mark | Note | End


def when(event: Op | Probe | Mark | Note) -> float:
    """Return when the event became known: when an operation ended, or a mark was set."""
    return event.ended if isinstance(event, Op | Probe) else event.at


def now() -> float:
    """Return seconds since the epoch: the monotonic clock, set to the wall clock when the process began.

    It is never set back, and one for all processes of a machine.
    """
    return _EPOCH + time.monotonic()
