"""Evaluates one account: what one session does to the others of its user, and which passwords are accepted.

Passwords have numbers, and a change goes to a greater one. Only real time orders operations; a change that ended as
unknown may have happened, and has when its password is accepted.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from loadtest.checker.findings import Evidence, Kind
from loadtest.checker.logins import Change
from loadtest.history import Action, Op, OpOutcome

ENDS_OTHERS = {
    Action.END_OTHERS: "the end of all other sessions was acknowledged",
    Action.PASSWORD: "the change of password was acknowledged",
}
_HALF = "the new password was accepted, whose change had been answered with 503"
_UNAUTHORIZED = 401
_UNAVAILABLE = 503


@dataclass(frozen=True)
class EndOfOthers:
    """All sessions of the account but one were ended, or may have been."""

    session: str
    """The one that stays."""
    change: Change


@dataclass
class AccountChecker:
    """One account. `add` its operations, and pass the ends that this returns on to its `sessions`."""

    horizon: float
    sessions: set[str] = field(default_factory=set)
    ends: list[EndOfOthers] = field(default_factory=list)
    """Ends that may still end a session of which no operation is known yet."""
    _changes: dict[int, Op] = field(default_factory=dict)  # by the number of the new password
    _confirmed: dict[int, float] = field(default_factory=dict)  # when it was certain that the password had been changed
    _logins: list[Op] = field(default_factory=list)  # not evaluated yet

    def add(self, op: Op) -> list[EndOfOthers]:
        """Note an operation. Return the ends of other sessions that it proves or makes possible."""
        ends = []
        if op.action in ENDS_OTHERS and op.outcome is not OpOutcome.FAIL:
            ends.append(self._end(op))
        if op.password and op.action is Action.PASSWORD and op.outcome is not OpOutcome.FAIL:
            self._changes[op.password] = op
            if op.outcome is OpOutcome.OK:
                self._confirmed[op.password] = op.ended
        elif op.password and op.action is Action.LOGIN and op.outcome is not OpOutcome.UNKNOWN:
            self._logins.append(op)
            if op.outcome is OpOutcome.OK:
                ends += self._confirm(op)
        self.ends += ends
        return ends

    def _end(self, op: Op) -> EndOfOthers:
        # Nothing is carried out later than `horizon` after its client gave up, so that later sessions are certain.
        ok = op.outcome is OpOutcome.OK
        over = op.ended if ok else op.ended + self.horizon
        return EndOfOthers(op.session, Change(op.started, op.ended, over, ok, op.account, proof=ENDS_OTHERS[op.action]))

    def _confirm(self, login: Op) -> Iterator[EndOfOthers]:
        """Note that a password was accepted. If its change was unknown, it has happened, and as a whole.

        A server that answered with 503 is not at work on it any more.
        """
        change = self._changes.get(login.password)
        if change is None or change.outcome is OpOutcome.OK or change.ended > login.started:
            return
        self._confirmed[login.password] = min(login.ended, self._confirmed.get(login.password, login.ended))
        if change.status == _UNAVAILABLE:
            ended = login.ended
            yield EndOfOthers(
                change.session, Change(change.started, ended, ended, ok=True, account=change.account, proof=_HALF)
            )

    @property
    def is_open(self) -> bool:
        """Whether there are logins that are not evaluated."""
        return bool(self._logins)

    def settle(self, frontier: float) -> Iterator[Evidence]:
        """Evaluate the logins when all operations that started before `frontier` are known."""
        known = [op for op in self._logins if op.ended <= frontier]
        self._logins = [op for op in self._logins if op.ended > frontier]
        for op in sorted(known, key=lambda op: op.ended):
            confirmed = max((number for number, at in self._confirmed.items() if at < op.started), default=0)
            if op.outcome is OpOutcome.OK and op.password < confirmed:
                what = f"an old password is accepted, {op.started - self._confirmed[confirmed]:.3f} s after its change"
                yield _make(op, what)
            elif (op.refused or op.status == _UNAUTHORIZED) and op.password == confirmed and not self._may_be_newer(op):
                what = f"the new password is refused, {op.started - self._confirmed[confirmed]:.3f} s after its change"
                yield _make(op, what)
        self.ends = [end for end in self.ends if end.change.over + self.horizon > frontier]
        self._forget(frontier)

    def _may_be_newer(self, login: Op) -> bool:
        return any(number > login.password and change.started < login.ended for number, change in self._changes.items())

    def _forget(self, frontier: float) -> None:
        """Keep the newest change that is certain, and what came after it."""
        oldest = min([frontier, *(op.started for op in self._logins)])
        certain = max((number for number, at in self._confirmed.items() if at < oldest), default=0)
        self._changes = {number: op for number, op in self._changes.items() if number >= certain}
        self._confirmed = {number: at for number, at in self._confirmed.items() if number >= certain}


def _make(op: Op, what: str) -> Evidence:
    return Evidence(kind=Kind.PASSWORD_UNDONE, who=op.who, session=op.session, at=op.ended, what=what)
