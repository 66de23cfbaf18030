"""When is somebody logged in for certain, and when for certain not? Over all logins and logouts of one session.

As with counters, only real time orders operations, and what ended as unknown may have happened at any time since.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec import UNSET

from loadtest.checker.counter import FOREVER, Reset
from loadtest.history import Op
from loadtest.ledger import Action, Outcome

# A session that is in use is not touched at every request: one may count as unused for up to a tenth longer.
TOUCH = 0.1


def over(op: Op) -> float:
    """When the operation's effect is certain to have happened, if it happens at all."""
    return FOREVER if op.outcome is Outcome.UNKNOWN else op.ended


def shows_anonymous(op: Op) -> bool:
    """The answer is to somebody who is not logged in, or to whom the session sent along is unknown.

    A write that finds no session makes a new one, so its cookie tells.
    """
    return op.user is None or (op.replaced is True and op.action in (Action.VISIT, Action.ADD))


def tells(op: Op) -> bool:
    """The answer shows whether somebody is logged in, and the operation itself does not change that."""
    if op.outcome is not Outcome.OK or op.action in (Action.LOGIN, Action.LOGOUT):
        return False
    return op.user is not UNSET or (op.replaced is not UNSET and op.action in (Action.VISIT, Action.ADD))


@dataclass(frozen=True)
class Expiry:
    """How long a session lives, as in the header of a history."""

    idle_timeout: float | None
    lifetime: float | None

    def possible(self, age: float, idle: float) -> bool:
        """A session that was made and last used so many seconds ago may be over."""
        return (self.lifetime is not None and age >= self.lifetime) or (
            self.idle_timeout is not None and idle >= self.idle_timeout * (1 - TOUCH)
        )


class Logins:
    """The logins and logouts of one session. Those that failed are none."""

    def __init__(self, ops: Sequence[Op]) -> None:
        did = [op for op in ops if op.outcome is not Outcome.FAIL]
        self.logins = [op for op in did if op.action is Action.LOGIN]
        self.logouts = [op for op in did if op.action is Action.LOGOUT]

    def began(self, before: float) -> bool:
        """A login was sent before that time."""
        return any(login.started < before for login in self.logins)

    def names(self, before: float) -> set[str]:
        """Whoever may be logged in by that time."""
        return {login.account for login in self.logins if login.started < before}

    def certainly_in(self, op: Op) -> Op | None:
        """The login that must hold all the while that the operation takes; None if there is none for certain."""
        done = [one for one in self.logins if one.outcome is Outcome.OK and one.ended < op.started]
        if not done:
            return None
        login = max(done, key=lambda one: one.ended)
        if any(one.started < op.ended and over(one) > login.started for one in self.logouts):
            return None
        for one in self.logins:
            # A login renews the id: one in flight, or lost on its way back, leaves us with an id that is dead.
            if one is not login and one.started < op.ended and one.ended > login.started:
                return None
        return login

    def certainly_out(self, op: Op) -> Op | None:
        """The logout that must hold all the while that the operation takes; None if there is none for certain."""
        done = [one for one in self.logouts if one.outcome is Outcome.OK and one.ended < op.started]
        if not done:
            return None
        logout = max(done, key=lambda one: one.started)
        if any(over(one) > logout.started and one.started < op.ended for one in self.logins):
            return None
        return logout

    def renewed_during(self, op: Op) -> bool:
        """A login renewed the id while the operation was under way: it may have found no session any more."""
        others = (one for one in self.logins if one is not op and one.outcome is Outcome.OK)
        return any(one.started < op.ended and op.started < one.ended for one in others)

    def resets(self) -> list[Reset]:
        """What takes the session's values away: logouts, and logins of which only the new id may have been lost."""
        ended = [
            Reset(one.started, over(one), one.outcome is Outcome.OK and not self.renewed_during(one), logout=True)
            for one in self.logouts
        ]
        doubtful = (one for one in self.logins if one.outcome is Outcome.UNKNOWN or self.renewed_during(one))
        return ended + [Reset(one.started, FOREVER, certain=False, logout=False) for one in doubtful]
