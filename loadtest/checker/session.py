"""Evaluates one session: all operations that were sent with its cookie, by one client or by several.

An operation is evaluated when everything that may overlap it is known, and folded into a few totals then. Two things
reach back further, and keep back values up until they can be excluded: a session that is lost may have been
lost since its last sign of life, and one that has expired, since its last use.
"""

from bisect import bisect_right, insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from msgspec import UNSET

from loadtest.checker.counter import Counter, LostUpdates, ShownValue, Verdicts
from loadtest.checker.findings import Evidence, Kind
from loadtest.checker.fork import fork
from loadtest.checker.logins import Change, Logins, SessionRules, over, shows_anonymous, shows_user, tells
from loadtest.checker.resets import Resets
from loadtest.checker.sums import FOREVER
from loadtest.history import RENEWALS, Action, Op, OpOutcome

VISITS = ""
"""The name of the counter of visits, which no item has."""
MOST_HELD = 1000
"""Answers held until the next sign of life. Beyond, values are evaluated as if the session were alive."""
MOST_STALE = 200
"""Stale answers remembered, so that one which shows several old values counts once."""
MOST_UNDONE = 100
_CHANGES = RENEWALS | {Action.LOGOUT, Action.EMPTY}


@dataclass
class Evaluation:
    """The evidence, and all answers to users that must be logged in; True marks an anonymous answer."""

    evidence: list[Evidence] = field(default_factory=list)
    answers: list[tuple[Op, bool]] = field(default_factory=list)


class EndedSession(NamedTuple):
    """The rest of a session that is over: the accounts that logged in, and the logout that must hold.

    There are thousands of them, and a tuple of one name takes a quarter of a set.
    """

    names: tuple[str, ...]
    logout: Change | None


class SessionChecker:
    """One session. `add` operations as they become known, `settle` from time to time, `end` once."""

    def __init__(self, name: str, rules: SessionRules, account: str = "") -> None:
        self.name = name
        self.account = account
        self.last_used = -FOREVER
        self._rules = rules
        self._born = FOREVER
        self._pending: list[Op] = []  # carried out; those whose login is evaluated come first, by start
        self._evaluated = 0  # how many of them
        self._changes: list[Op] = []  # logins, logouts and emptyings that may overlap what is not known yet
        self._logins = Logins()
        self._resets, self._item_resets = Resets(), Resets()
        self._counters = {VISITS: Counter(VISITS, self._resets)}
        self._values_known = True
        self._signs: list[float] = []  # when answers that showed a user came
        self._lost: float | None = None  # the end of the last login whose session is lost
        self._expired = False
        self._idle_since = -FOREVER
        self._used: list[tuple[float, float]] = []  # by end: ended, started
        self._crossed: list[tuple[str, float]] = []
        self._revived: Evidence | None = None
        self._undone: dict[float, Evidence] = {}  # by the reset that was undone
        self._stale: list[tuple[str, float]] = []

    @classmethod
    def from_ended(cls, name: str, rules: SessionRules, account: str, ended: EndedSession) -> "SessionChecker":
        """Return a session that was over and is used again: nothing is known of its values."""
        session = cls(name, rules, account)
        session._logins.restore(ended.names, ended.logout)
        session._values_known = False
        return session

    def add(self, op: Op) -> None:
        """Note an operation that has ended."""
        self.last_used = max(self.last_used, op.ended)
        self._born = min(self._born, op.started)
        if op.outcome is OpOutcome.FAIL:
            return
        name, amount = added(op)
        moves = amount and op.replaced is True and op.brought  # the browser to another session
        if op.action in _CHANGES or moves:
            self._changes.append(op)
            if not moves and op.action is not Action.EMPTY:
                self._logins.add(op)
        if amount:
            counter = self._counters.get(name)
            if counter is None:
                counter = self._counters[name] = Counter(name, self._item_resets)
            if op.replaced is not True or moves:
                counter.add(op, amount)
        if op.outcome is OpOutcome.OK:
            self._pending.append(op)
            if isinstance(op.user, str):
                insort(self._signs, op.ended)

    def end_elsewhere(self, change: Change) -> None:
        """Note that another session of the user has ended this one, or may have."""
        self._logins.logouts.append(change)
        self._add_reset(change.started, change.over)

    def settle(self, frontier: float) -> Evaluation:
        """Evaluate what can be evaluated when all operations that started before `frontier` are known."""
        evaluation = Evaluation()
        self._pending[self._evaluated :] = sorted(self._pending[self._evaluated :], key=lambda op: op.started)
        self._reset(frontier)
        cut = min([frontier, *(op.started for op in self._changes)])
        while self._evaluated < len(self._pending) and self._pending[self._evaluated].ended <= cut:
            self._evaluate_login(self._pending[self._evaluated], frontier, evaluation)
            self._evaluated += 1
        limit = FOREVER if frontier == FOREVER else self._limit(cut)
        settled = 0
        while settled < self._evaluated and self._pending[settled].ended <= limit:
            self._evaluate_values(self._pending[settled], evaluation)
            settled += 1
        del self._pending[:settled]
        self._evaluated -= settled
        self._conclude(min(self._pending[0].started, cut) if self._pending else cut, evaluation)
        return evaluation

    def end(self) -> Evaluation:
        """Evaluate everything, as nothing comes after it."""
        evaluation = self.settle(FOREVER)
        for counter in self._counters.values():
            verdicts = Verdicts()
            counter.end(verdicts)
            evaluation.evidence += self._evidence(counter.name, verdicts)
        evaluation.evidence += [*self._undone.values(), *filter(None, [self._revived])]
        return evaluation

    def has_user(self) -> bool:
        """Return whether a user is logged in for certain."""
        return self._logins.certainly_in() is not None

    def has_ended(self) -> bool:
        """Return whether no user is logged in for certain after a login, or nothing was ever acknowledged."""
        login = self._logins.certainly_in()
        if login is not None:
            return login.ended == self._lost
        return self._logins.began(FOREVER) or not any(c.most(FOREVER) for c in self._counters.values())

    def remains(self) -> EndedSession:
        return EndedSession(tuple(self._logins.names(FOREVER)), self._logins.certainly_out())

    def evaluate_all(self) -> Evaluation:
        """Evaluate everything as if nothing came after it, and go on as before."""
        copy = object.__new__(SessionChecker)
        vars(copy).update(fork(vars(self)))
        for name, counter in copy._counters.items():
            counter.resets = copy._resets if name == VISITS else copy._item_resets
        return copy.end()

    # Resets

    def _reset(self, frontier: float) -> None:
        """Note the resets of which all is known that may have overlapped them.

        One of them is a write that moves the browser to another session, until a login in flight has moved it back.
        """
        known = [op for op in self._changes if op.ended <= frontier]
        self._changes = [op for op in self._changes if op.ended > frontier]
        for op in sorted(known, key=lambda op: op.ended):
            if op.brought and op.action not in RENEWALS:
                self._add_reset(op.started, max([op.ended, *self._logins.renewals_during(op)]))
                continue
            renewed = any(self._logins.renewals_during(op))
            if op.action not in RENEWALS:
                certain = op.outcome is OpOutcome.OK and not (renewed and op.action is Action.LOGOUT)
                self._add_reset(op.started, over(op), certain=certain, by=op.action)
                continue
            if op.outcome is OpOutcome.UNKNOWN or renewed:
                self._add_reset(op.started, FOREVER)
            elif self._rules.login_empties and op.action is Action.LOGIN:
                self._add_reset(op.started, op.ended)
            if op.outcome is OpOutcome.OK:
                self._end_loss(op.ended)

    def _add_reset(self, started: float, ended: float, *, certain: bool = False, by: Action | None = None) -> None:
        """Note a reset. An emptying resets no visits."""
        for resets in [self._item_resets] if by is Action.EMPTY else [self._resets, self._item_resets]:
            resets.add(started, ended, certain=certain, logout=by is Action.LOGOUT)

    def _end_loss(self, ended: float) -> None:
        self._resets.end_loss(ended)
        self._item_resets.end_loss(ended)
        for counter in self._counters.values():
            counter.end_loss(ended)

    # Logins

    def _evaluate_login(self, op: Op, frontier: float, evaluation: Evaluation) -> None:
        """Evaluate who is logged in, as the next answer shows."""
        if self._rules.expire and not self._expired:
            self._expire(op)
        allowed = {op.account} if op.action is Action.LOGIN else None
        if isinstance(op.user, str):
            allowed = self._logins.names(op.ended) if allowed is None else allowed
            if op.user not in allowed:
                whose = f"only {', '.join(sorted(allowed))} logged in" if allowed else "no user had logged in"
                evaluation.evidence.append(self._make(Kind.CROSSED, op, f"shows {op.user} as logged in; {whose}"))
                self._crossed.append((op.who, op.ended))
                return
        if not tells(op):
            return
        anonymous = shows_anonymous(op)
        logout = self._logins.certainly_out(op.started, op.ended)
        if logout is not None and shows_user(op):
            since = op.started - logout.ended
            what = f"{op.account} is logged in again, {since:.3f} s after {logout.proof}"
            self._revive(self._make(Kind.REVIVED, op, what))
        if self._expired:
            return
        if op.replaced is True and self._logins.misdirected(op):
            what = f"a write was confirmed into another session, while {op.account} renewed this one"
            evaluation.evidence.append(self._make(Kind.MISDIRECTED, op, what))
        login = self._logins.certainly_in(op.started, op.ended)
        if login is None:
            return
        evaluation.answers.append((op, anonymous))
        if anonymous and login.ended != self._lost:
            since = op.started - login.ended
            what = f"anonymous {since:.3f} s after {op.account} had logged in"
            evaluation.evidence.append(self._make(Kind.SESSION_LOST, op, what))
            self._lose(op, login, frontier)

    def _expire(self, op: Op) -> None:
        """Note that an unused session may have expired since its last use, with all values."""
        idle_since = self._idle_before(op.started)
        while self._used and self._used[0][0] < op.started:
            del self._used[0]
        self._idle_since = idle_since
        if self._rules.may_have_expired(op.ended - self._born, op.ended - idle_since):
            self._expired = True
            self._add_reset(idle_since, FOREVER)
        insort(self._used, (op.ended, op.started))

    def _idle_before(self, time: float) -> float:
        used = [started for ended, started in self._used if ended < time]
        return max(self._born, self._idle_since, *used)

    def _lose(self, found: Op, login: Change, frontier: float) -> None:
        """Note that the session was lost between its last sign of life and the next login."""
        self._lost = login.ended
        index = bisect_right(self._signs, found.ended)
        sign = max(self._signs[index - 1], login.ended) if index else login.ended
        self._resets.loss = self._item_resets.loss = sign
        again = [one.ended for one in self._logins.logins if one.ok and one.started > found.started]
        if again and min(again) <= frontier:
            self._end_loss(min(again))

    def _limit(self, cut: float) -> float:
        """Return until when no loss or expiry that is still to be found can reach back."""
        if self._evaluated > MOST_HELD:
            return FOREVER
        later = self._pending[self._evaluated :]
        first = min(cut, later[0].started) if later else cut
        first_end = min([cut, *(op.ended for op in later)])
        limit = self._idle_before(first) if self._rules.expire and not self._expired else FOREVER
        limit = min([limit, *(one.ended for one in self._logins.logins if one.ok and one.ended >= first)])
        known = bisect_right(self._signs, first_end)
        sign = self._signs[known - 1] if known else -FOREVER
        del self._signs[: max(known - 1, 0)]
        login = self._logins.certainly_in(first, first_end)
        if login is not None and login.ended != self._lost:
            limit = min(limit, max(login.ended, sign))
        return limit

    # Values

    def _evaluate_values(self, op: Op, evaluation: Evaluation) -> None:
        """Evaluate the visits and the cart that the next answer shows."""
        key = (op.who, op.ended)
        if crossed := key in self._crossed:
            self._crossed.remove(key)
        if not self._values_known or op.user not in (UNSET, None, op.account):
            return
        shown = list(self._shown(op))
        for name, _, value in shown:
            counter = self._counters.get(name)
            most = counter.most(op.ended) if counter is not None else 0
            if value > most:  # another session's, so that this answer says nothing about this one
                if not crossed:
                    what = f"{_amount(name, value)}; at most {most} can ever have been made"
                    evaluation.evidence.append(self._make(Kind.CROSSED, op, what, name))
                return
        # Shown to an anonymous user where a user may be logged in, it is not what the session held: the session is
        # lost then, or ended, and that is not a lost update.
        whole = not (shows_anonymous(op) and self._logins.began(op.ended))
        for name, own, value in shown:
            if name in self._counters:
                self._counters[name].show(op, value, own, whole=whole)

    def _shown(self, op: Op) -> Iterator[tuple[str, int, int]]:
        """Yield the name of each counter in the answer, the amount that the operation added, and the value."""
        target, amount = added(op)
        if op.visits is not UNSET:
            yield _as_own(op, VISITS, amount if target == VISITS else 0, op.visits)
        if op.cart is not UNSET:
            for name in self._counters:
                if name != VISITS:
                    yield _as_own(op, name, amount if target == name else 0, op.cart.get(name, 0))
            for name, value in op.cart.items():
                if name not in self._counters:
                    yield name, 0, value

    def _conclude(self, before: float, evaluation: Evaluation) -> None:
        oldest = before
        for counter in self._counters.values():
            verdicts = Verdicts()
            counter.conclude(before, verdicts)
            evaluation.evidence += self._evidence(counter.name, verdicts)
            oldest = counter.oldest(oldest)
        self._logins.forget(oldest)
        for counter in self._counters.values():
            counter.forget(oldest)
        self._resets.forget(oldest)
        self._item_resets.forget(oldest)

    def _evidence(self, name: str, verdicts: Verdicts) -> Iterator[Evidence]:
        for lost in verdicts.lost:
            yield self._prove(Kind.UPDATE_LOST, name, lost.shown, _lost(name, lost), lost.updates)
        for shown in verdicts.stale:
            text = f"{_amount(name, shown.value)}, of at least {shown.low}, and later answers show them all"
            yield from self._once(self._prove(Kind.STALE_READ, name, shown, text))
        for shown in verdicts.revived:
            text = f"{_amount(name, shown.value)}, from before the logout"
            self._revive(self._prove(Kind.REVIVED, name, shown, text))
        for shown in verdicts.stale_full:
            yield from self._once(self._prove(Kind.STALE_READ, name, shown, _full(name, shown)))
        for shown in verdicts.undone:
            known = self._undone.get(shown.reset)
            if known is None or shown.ended < known.at:
                self._undone[shown.reset] = self._prove(Kind.EMPTYING_UNDONE, name, shown, _full(name, shown))
        while len(self._undone) > MOST_UNDONE:
            yield self._undone.pop(min(self._undone))

    def _once(self, stale: Evidence) -> Iterator[Evidence]:
        """Yield a stale answer once, also if several of its values are old."""
        if (stale.who, stale.at) not in self._stale:
            self._stale = [*self._stale, (stale.who, stale.at)][-MOST_STALE:]
            yield stale

    def _revive(self, evidence: Evidence) -> None:
        """Keep the earliest evidence of a revived session, which counts once."""
        if self._revived is None or evidence.at < self._revived.at:
            self._revived = evidence

    def _make(self, kind: Kind, op: Op, what: str, item: str | None = None) -> Evidence:
        return Evidence(kind=kind, who=op.who, session=self.name, at=op.ended, what=what, item=item)

    def _prove(self, kind: Kind, name: str, shown: ShownValue, what: str, count: int = 1) -> Evidence:
        who, at = shown.who, shown.ended
        return Evidence(kind=kind, who=who, session=self.name, at=at, what=what, count=count, item=name)


def added(op: Op) -> tuple[str, int]:
    """Return to which counter an operation adds, and how much; 0 where it adds nothing."""
    if op.action is Action.VISIT:
        return VISITS, 1
    return (op.item, op.quantity) if op.action is Action.ADD else ("", 0)


def _as_own(op: Op, name: str, own: int, value: int) -> tuple[str, int, int]:
    if op.replaced is True:
        # The node did not know the session, so the write went into a new one, where nothing else can be.
        return name, 0, value - own
    return name, own, value


def _lost(name: str, lost: LostUpdates) -> str:
    shown = lost.shown
    text = f"{_amount(name, shown.value)}, "
    if shown.value >= shown.low:
        return text + "as another one before it: one has overwritten the other"
    return text + f"of at least {shown.low}"


def _full(name: str, shown: ShownValue) -> str:
    return f"{_amount(name, shown.value)} after it was emptied, and at most {shown.high} can have been added since"


def _amount(name: str, value: int) -> str:
    """Return a value in words that fit any application's counter and list."""
    return f"a count of {value}" if name == VISITS else f"{value} x {name!r} in the list"
