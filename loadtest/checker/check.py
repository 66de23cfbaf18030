"""Events of a history in, findings out. Pure: no network, no clock, no file."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from copy import copy

from msgspec import UNSET

from loadtest.checker.account import ENDS_OTHERS, AccountChecker
from loadtest.checker.availability import TargetProbes
from loadtest.checker.figures import AllFigures, Figures
from loadtest.checker.findings import Evidence, Findings, Kind, Losses
from loadtest.checker.logins import SessionRules
from loadtest.checker.phases import MarkedPhases
from loadtest.checker.session import EndedSession, SessionChecker
from loadtest.checker.sums import FOREVER
from loadtest.checker.unsettled import OpenSessions, PhaseName, RecentEvents, find, tell
from loadtest.history import RENEWALS, End, Event, Header, Mark, Note, Op, OpOutcome, Probe, when

HORIZON = 30.0
"""Seconds: more than any request takes; the virtual users give up after 20."""
RESTS_AT_MOST = 3600.0
MOST_ANONYMOUS = 1_000
MOST_ENDED = 20_000


class Checker:
    """Evaluates a history while it is being written: `feed` events, and ask for `findings` at any time.

    Events may come out of order. An operation is evaluated when `horizon` seconds of the history have passed since, so
    no event may come later than `horizon` seconds after it began. What one that does would have explained may have been
    found already.

    Memory grows with users, with sessions that are alive, and with the operations of the last `horizon` seconds, not
    with the number of operations. It is bounded at these prices:
    - Percentiles are up to 1 % too high.
    - A session that is over (its user was logged out, lost or never logged in) is dropped when it was not used for
      twice the horizon, any session after RESTS_AT_MOST seconds, and of those without a user all but the MOST_ANONYMOUS
      that were used last: clients leave them behind. If a dropped one is used again, it is still found if
      a user is logged in after a logout, and if a session is lost after another login; its values are not evaluated.
      Of MOST_ENDED of them, that is; what is older is forgotten.
    - Of MOST_MARKS marks the phases are known (see `phases`).
    - In one session, at most 1,000 answers wait for what proves them stale (see `counter`), and for a sign that
      the session is alive (see `session`).
    """

    sweeps = 4.0
    """How often what is settled is evaluated, per horizon."""

    def __init__(self, *, horizon: float = HORIZON, figures: Callable[[], Figures] = Figures) -> None:
        self._horizon = horizon
        self._title, self._rules, self._complete = "", SessionRules(), False
        self._since: float | None = None
        self._marked = MarkedPhases()
        self._sessions: dict[str, SessionChecker] = {}
        self._ended: dict[str, EndedSession] = {}
        self._accounts: dict[str, AccountChecker] = {}
        self._logged_in: set[str] = set()
        """Sessions that somebody was logged in to: others can't be lost."""
        self._recent, self._open = RecentEvents(), OpenSessions()
        self._figures: dict[PhaseName, Figures] = defaultdict(figures)
        self._targets: dict[str, TargetProbes] = {}
        self._notes: dict[str, Note] = {}
        self._first, self._last = FOREVER, -FOREVER  # when operations began and ended
        self._now = -FOREVER
        self.logged_out_at: Mapping[int, int] = {}
        """Of the newest findings, by second: answers to users who were found logged out, in the last two minutes."""
        self._sweep_at = -FOREVER

    def feed(self, event: Event) -> None:
        """Take one event. The End is the last one."""
        match event:
            case Op():
                self._first, self._last = min(self._first, event.started), max(self._last, event.ended)
                self._recent.add(event)
                if self._is_known(event):
                    self._session(event).add(event)
                    self._open.change(event.session)
                    if event.action in RENEWALS and event.outcome is OpOutcome.OK:
                        self._logged_in.add(event.session)
                    if event.password or event.action in ENDS_OTHERS:
                        self._end_others(event)
            case Probe():
                if event.target not in self._targets:
                    self._targets[event.target] = TargetProbes()
                self._targets[event.target].add(event)
            case Mark():
                self._marked.add(event)
                self._recent.recount()
                self._open.recount()
            case Note():
                self._notes[event.text] = event
                self._recent.add(event)
            case Header():
                self._title = event.title
                self._rules = SessionRules(event.idle_timeout, event.lifetime, event.login_empties)
                self._since = event.since
                return
            case End():
                self._complete = True
                self._end()
                return
        self._now = max(self._now, when(event))
        if self._now >= self._sweep_at:
            self._sweep()
            self._sweep_at = self._now + self._horizon / self.sweeps

    def findings(self) -> Findings:
        """Return what all events so far prove; what may still be explained by later ones counts.

        Sessions for which nothing has come since the last call are not evaluated again.
        """
        open_ = self._open.count(self._sessions, self._phase)
        for account in self._accounts.values():
            if account.is_open:
                find(copy(account).settle(FOREVER), open_, self._phase)
        parts = [part for one in (self._figures, open_, *self._recent.count(self._phase)) for part in one.items()]
        total = Figures.merge(figures for _, figures in parts)
        self.logged_out_at = total.logged_out_at
        return Findings(
            title=self._title,
            complete=self._complete,
            total=total.result(max(self._last - self._first, 0.0)),
            phases={
                name: Figures.merge(figures for phase, figures in parts if phase == name).result(seconds)
                for name, seconds in self._marked.seconds(max(self._last, 0.0)).items()
            },
            sessions=len(self._logged_in),
            sessions_lost=total.found[Kind.SESSION_LOST],
            users_lost=len(total.users_lost),
            updates_lost=total.found[Kind.UPDATE_LOST] + total.found[Kind.EMPTYING_UNDONE],
            stale_reads=total.found[Kind.STALE_READ],
            revived=total.found[Kind.REVIVED],
            crossed=total.found[Kind.CROSSED],
            misdirected=total.found[Kind.MISDIRECTED],
            passwords_undone=total.found[Kind.PASSWORD_UNDONE],
            examples=total.examples,
            availability={name: target.result() for name, target in sorted(self._targets.items())},
            notes=tuple(self._notes.values()),
        )

    def _is_known(self, op: Op) -> bool:
        """Return whether the history has the session's beginning: a good answer to a request without a cookie."""
        if self._since is None or op.session in self._sessions or op.session in self._ended:
            return True
        return op.outcome is OpOutcome.OK and op.replaced is UNSET

    def _session(self, op: Op) -> SessionChecker:
        name = op.session
        session = self._sessions.get(name)
        if session is None:
            ended = self._ended.pop(name, None)
            if ended is None:
                session = SessionChecker(name, self._rules, op.account)
            else:
                session = SessionChecker.from_ended(name, self._rules, op.account, ended)
            self._sessions[name] = session
            account = self._account(op.account)
            account.sessions.add(name)
            for end in account.ends:
                if end.session != name:
                    session.end_elsewhere(end.change)
        return session

    def _account(self, name: str) -> AccountChecker:
        account = self._accounts.get(name)
        if account is None:
            account = self._accounts[name] = AccountChecker(self._horizon)
        return account

    def _end_others(self, op: Op) -> None:
        """Note what an operation does to the other sessions of its user."""
        account = self._account(op.account)
        for end in account.add(op):
            for name in account.sessions - {end.session}:
                self._sessions[name].end_elsewhere(end.change)
                self._open.change(name)

    def _sweep(self) -> None:
        """Evaluate and count what is settled, and drop sessions that are over."""
        frontier = self._now - self._horizon
        for settled in self._recent.settle(frontier, self._phase):
            for phase, figures in settled.items():
                self._figures[phase].include(figures)
        for target in self._targets.values():
            target.settle(frontier)
        anonymous: list[SessionChecker] = []
        for session in list(self._sessions.values()):
            evaluation = session.settle(frontier)
            tell(evaluation, self._figures, self._phase)
            self._open.settle(session.name, evaluation, self._phase)
            rest = self._now - session.last_used
            if rest > RESTS_AT_MOST or (rest > 2 * self._horizon and session.has_ended()):
                self._drop(session)
            elif rest > 2 * self._horizon and not session.has_user():
                anonymous.append(session)
        for session in sorted(anonymous, key=lambda one: one.last_used)[:-MOST_ANONYMOUS]:
            self._drop(session)
        for account in self._accounts.values():
            find(account.settle(frontier), self._figures, self._phase)
        while len(self._ended) > MOST_ENDED:
            del self._ended[next(iter(self._ended))]

    def _drop(self, session: SessionChecker) -> None:
        tell(session.end(), self._figures, self._phase)
        self._open.drop(session.name)
        self._ended[session.name] = session.remains()
        del self._sessions[session.name]
        self._accounts[session.account].sessions.discard(session.name)

    def _end(self) -> None:
        """Evaluate everything, as nothing comes after it."""
        for session in list(self._sessions.values()):
            self._drop(session)
        for account in self._accounts.values():
            find(account.settle(FOREVER), self._figures, self._phase)

    def _phase(self, event: Op | Note | Evidence) -> PhaseName:
        phases = self._marked.phases
        return phases.during(event.started, event.ended) if isinstance(event, Op) else phases.at(event.at)


def check(events: Iterable[Event]) -> Findings:
    """Evaluate a whole history; see Checker for how far events may be out of order."""
    checker = Checker()
    for event in events:
        checker.feed(event)
    return checker.findings()


def list_losses(events: Iterable[Event]) -> Losses:
    """Return every answer to a user who was found logged out, and all evidence, in memory that grows with them."""
    every = AllFigures()
    checker = Checker(figures=lambda: every)
    for event in events:
        checker.feed(event)
    checker.feed(End(ops=0, probes=0))  # also of a truncated history
    return Losses(logged_out=tuple(every.logged_out), evidence=tuple(sorted(every.evidence, key=lambda one: one.at)))
