"""The times at which a user must, or must not, be logged in: from the logins and logouts of one session.

As with counters, only real time orders operations, and what ended as unknown may have happened at any time since.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from msgspec import UNSET

from loadtest.checker.fork import State
from loadtest.checker.sums import FOREVER
from loadtest.history import RENEWALS, Action, Op, OpOutcome

# A session that is in use is not touched at every request: one may count as unused for up to a tenth longer.
TOUCH = 0.1
_WRITES = frozenset({Action.VISIT, Action.ADD})
"""Writes that create a session where they find none."""
_FEW = 4  # logins or logouts; below, forgetting saves nothing


def over(op: Op) -> float:
    """Return the time by which the effect of the operation has happened, if it happens at all."""
    return FOREVER if op.outcome is OpOutcome.UNKNOWN else op.ended


def shows_anonymous(op: Op) -> bool:
    """Return True if the answer is to an anonymous user, or to one whose session is unknown.

    A write that finds no session makes a new one, so its cookie tells.
    """
    return op.user is None or (op.replaced is True and op.action in _WRITES)


def shows_user(op: Op) -> bool:
    """Return True if the answer is to a logged-in user: it shows the name, or the list of the user's sessions."""
    return isinstance(op.user, str) or (op.action is Action.LIST and op.user is UNSET)


def tells(op: Op) -> bool:
    """Return True if the answer shows whether a user is logged in."""
    return op.user is not UNSET or op.action is Action.LIST or (op.replaced is not UNSET and op.action in _WRITES)


@dataclass(frozen=True, slots=True)
class SessionRules:
    """How long a session lives, and whether a login may empty it, as in the header of a history."""

    idle_timeout: float | None = None
    lifetime: float | None = None
    login_empties: bool = False

    @property
    def expire(self) -> bool:
        """Whether sessions expire."""
        return self.idle_timeout is not None or self.lifetime is not None

    def may_have_expired(self, age: float, idle: float) -> bool:
        """Return whether a session of this age, unused for `idle` seconds, may have expired."""
        return (self.lifetime is not None and age >= self.lifetime) or (
            self.idle_timeout is not None and idle >= self.idle_timeout * (1 - TOUCH)
        )


class Change(NamedTuple):
    """A login or a logout that was carried out (`ok`), or may have been. `over` is FOREVER where it may come later.

    A change of password is a login, since it renews the id; `brought` is the number of the new id. `proof` is the
    reason why a logout is certain; another session of the user may have sent it.
    """

    started: float
    ended: float
    over: float
    ok: bool
    account: str
    brought: int = 0
    proof: str = "the logout was acknowledged"

    @classmethod
    def from_op(cls, op: Op) -> "Change":
        return cls(op.started, op.ended, over(op), op.outcome is OpOutcome.OK, op.account, op.brought)


@dataclass(slots=True)
class Logins(State):
    """The logins and logouts of one session that can still matter. Those that failed changed nothing."""

    logins: list[Change] = field(default_factory=list)
    logouts: list[Change] = field(default_factory=list)
    _forgotten: frozenset[str] = frozenset()  # accounts of logins that are not kept any more

    def add(self, op: Op) -> None:
        (self.logins if op.action in RENEWALS else self.logouts).append(Change.from_op(op))

    def began(self, before: float) -> bool:
        """Return whether a login was sent before that time."""
        return bool(self._forgotten) or any(login.started < before for login in self.logins)

    def names(self, before: float) -> set[str]:
        """Return the accounts that may be logged in by that time."""
        return {login.account for login in self.logins if login.started < before} | self._forgotten

    def certainly_in(self, started: float = FOREVER, ended: float = FOREVER) -> Change | None:
        """Return the login that must hold from `started` to `ended`, or may still for what comes later; None if none
        does for certain."""
        login = max((one for one in self.logins if one.ok and one.ended < started), key=_by_end, default=None)
        if login is None or any(one.started < ended and one.over > login.started for one in self.logouts):
            return None
        # A login renews the id: one in flight, or lost on its way back, leaves the user with an id that is dead.
        if any(one is not login and one.started < ended and one.ended > login.started for one in self.logins):
            return None
        return login

    def certainly_out(self, started: float = FOREVER, ended: float = FOREVER) -> Change | None:
        """Return the logout that must hold from `started` to `ended`; None if none does for certain."""
        logout = max((one for one in self.logouts if one.ok and one.ended < started), default=None)
        if logout is None or any(one.over > logout.started and one.started < ended for one in self.logins):
            return None
        return logout

    def renewals_during(self, op: Op) -> Iterator[float]:
        """Yield when other logins ended that renewed the id meanwhile: the operation may have found no session."""
        own = Change.from_op(op) if op.action in RENEWALS else None
        for one in self.logins:
            if one.ok and one != own and one.started < op.ended and op.started < one.ended:
                yield one.ended

    def misdirected(self, op: Op) -> bool:
        """Return whether an operation, answered with another session's cookie, is a write that should have gone into
        its own, which was there and was being renewed.

        Not if a logout, or a login without an answer, may have left it without a session.
        """
        if op.action not in _WRITES:
            return False
        latest = max((one for one in self.logins if one.ok and one.ended < op.started), key=_by_end, default=None)
        since = latest.started if latest is not None else -FOREVER
        others = [one for one in self.logins if one is not latest and one.started < op.ended and one.ended > since]
        if not others or any(not one.ok or one.ended < op.started or one.brought == op.brought != 0 for one in others):
            return False
        return not any(one.started < op.ended and one.over > since for one in self.logouts)

    def restore(self, names: Iterable[str], logout: Change | None) -> None:
        """Begin with what is remembered of an ended session."""
        self._forgotten = frozenset(names)
        self.logouts = [logout] if logout is not None else []

    def forget(self, before: float) -> None:
        """Keep what operations that start at `before` or later can depend on."""
        if len(self.logins) > _FEW:
            done = [one for one in self.logins if one.ended < before]
            latest = max((one for one in done if one.ok), key=_by_end, default=None)
            unknown = next((one for one in done if not one.ok), None)
            running = [one for one in self.logins if one.ended >= before]
            since = min(one.started for one in (*running, *([latest] if latest else ()))) if running or latest else 0.0
            self._forgotten |= {one.account for one in done}
            self.logins = [one for one in done if one is latest or one is unknown or one.ended > since] + running
        if len(self.logouts) > _FEW:
            done = [one for one in self.logouts if one.ended < before]
            latest = max((one for one in done if one.ok), default=None)
            longest = max(done, key=lambda one: one.over, default=None)
            self.logouts = [one for one in self.logouts if one.ended >= before or one is latest or one is longest]


def _by_end(change: Change) -> float:
    return change.ended
