"""Judges one session: all operations that were sent with its cookie, by however many clients."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from msgspec import UNSET

from loadtest.checker.counter import FOREVER, Bounds, Counter, Increment, Missing, Reset, Shown, missing
from loadtest.checker.findings import Evidence, Kind
from loadtest.checker.logins import Expiry, Logins, over, shows_anonymous, tells
from loadtest.history import Op
from loadtest.ledger import Action, Outcome

VISITS = ""
"""The name of the counter of visits, which no item has."""


@dataclass
class Judged:
    """What is wrong, and all operations that show whether somebody is logged in who must be: true if not."""

    evidence: list[Evidence] = field(default_factory=list)
    told: list[tuple[Op, bool]] = field(default_factory=list)


def judge_session(ops: Sequence[Op], expiry: Expiry) -> Judged:
    """Judge the operations of one session, in any order."""
    by_start = sorted(ops, key=lambda op: op.started)
    logins = Logins(by_start)
    judged = Judged()
    resets = [*logins.resets(), *_judge_logins(by_start, logins, expiry, judged)]
    emptied = [
        Reset(op.started, over(op), op.outcome is Outcome.OK and not logins.renewed_during(op), logout=False)
        for op in by_start
        if op.action is Action.EMPTY and op.outcome is not Outcome.FAIL
    ]
    undone: dict[float, Evidence] = {}
    for counter in _believable(_counters(by_start, logins), judged):
        own = resets if counter.name == VISITS else resets + emptied
        verdicts = counter.bounds(own)
        judged.evidence += _too_little(counter.name, missing(verdicts))
        judged.evidence += _too_much(counter.name, verdicts, own, undone)
    judged.evidence += undone.values()
    judged.evidence = _once(judged.evidence)
    return judged


def _judge_logins(by_start: Sequence[Op], logins: Logins, expiry: Expiry, judged: Judged) -> list[Reset]:
    """Who is logged in: fills in what is wrong with that. Returns losses and expiry, which take all values along."""
    lost: dict[float, Op] = {}  # by the end of the login that is lost: the first answer that shows it
    expired: list[Reset] = []
    last_used = sorted((op.ended, op.started) for op in by_start if op.outcome is Outcome.OK)
    used, idle_since = 0, by_start[0].started
    for op in by_start:
        while used < len(last_used) and last_used[used][0] < op.started:
            idle_since = max(idle_since, last_used[used][1])
            used += 1
        if op.outcome is not Outcome.OK:
            continue
        if not expired and expiry.possible(op.ended - by_start[0].started, op.ended - idle_since):
            expired = [Reset(idle_since, FOREVER, certain=False, logout=False)]
        allowed = {op.account} if op.action is Action.LOGIN else logins.names(op.ended)
        if op.user not in (UNSET, None) and op.user not in allowed:
            whose = f"nobody but {', '.join(sorted(allowed))} logged in" if allowed else "nobody had logged in"
            judged.evidence.append(_evidence(Kind.CROSSED, op, f"shows {op.user} as logged in; {whose}"))
            continue
        if not tells(op):
            continue
        anonymous = shows_anonymous(op)
        if not anonymous and op.user is not UNSET and (out := logins.certainly_out(op)) is not None:
            what = f"{op.user} is logged in again, {op.started - out.ended:.3f} s after the logout was acknowledged"
            judged.evidence.append(_evidence(Kind.REVIVED, op, what))
        login = logins.certainly_in(op)
        if login is None or expired:
            continue
        judged.told.append((op, anonymous))
        if anonymous and login.ended not in lost:
            lost[login.ended] = op
            since = op.started - login.ended
            judged.evidence.append(
                _evidence(Kind.SESSION_LOST, op, f"anonymous {since:.3f} s after {op.account} had logged in")
            )
    return expired + [_loss(by_start, logins, login_ended, op) for login_ended, op in lost.items()]


def _loss(by_start: Sequence[Op], logins: Logins, login_ended: float, found: Op) -> Reset:
    """The session was lost somewhen between its last sign of life and the next login."""
    alive = (op.ended for op in by_start if isinstance(op.user, str) and login_ended <= op.ended <= found.ended)
    again = (op.ended for op in logins.logins if op.outcome is Outcome.OK and op.started > found.started)
    return Reset(max(alive, default=login_ended), min(again, default=FOREVER), certain=False, logout=False)


def _counters(by_start: Sequence[Op], logins: Logins) -> list[Counter]:
    """The visits, and each item that was ever put into the cart or seen in it."""
    counters = {VISITS: Counter(VISITS)}
    for op in by_start:
        name, amount = _adds(op)
        if amount and op.outcome is not Outcome.FAIL:
            counter = counters.setdefault(name, Counter(name))
            if op.replaced is not True:
                counter.increments.append(Increment(op.started, op.ended, amount, op.outcome is Outcome.OK))
        if op.outcome is Outcome.OK and op.cart is not UNSET:
            for item in op.cart:
                counters.setdefault(item, Counter(item))
    for op in by_start:
        if op.outcome is not Outcome.OK or op.user not in (UNSET, None, op.account):
            continue
        if op.visits is not UNSET:
            counters[VISITS].shown.append(_shown(op, VISITS, op.visits, logins))
        if op.cart is not UNSET:
            for name, counter in counters.items():
                if name != VISITS:
                    counter.shown.append(_shown(op, name, op.cart.get(name, 0), logins))
    return list(counters.values())


def _adds(op: Op) -> tuple[str, int]:
    """To which counter a write adds how much."""
    if op.action is Action.VISIT:
        return VISITS, 1
    return (op.item, op.quantity) if op.action is Action.ADD else ("", 0)


def _shown(op: Op, name: str, value: int, logins: Logins) -> Shown:
    target, amount = _adds(op)
    own = amount if target == name else 0
    if op.replaced is True:
        # The node did not know the session, so the write went into a new one, where nothing else can be.
        value, own = value - own, 0
    # Shown to somebody anonymous where somebody may be logged in, it is not what the session held: the session is
    # lost then, or ended, and that is no lost update.
    return Shown(op, value, own, whole=not (shows_anonymous(op) and logins.began(op.ended)))


def _believable(counters: Sequence[Counter], judged: Judged) -> Sequence[Counter]:
    """The counters without the answers that show something of somebody else: those say nothing about this session."""
    foreign = set()
    for counter in counters:
        for shown, most in counter.impossible():
            foreign.add(id(shown.op))
            what = f"{_value(counter.name, shown)}; at most {most} can ever have been made"
            judged.evidence.append(_evidence(Kind.CROSSED, shown.op, what))
    for counter in counters:
        counter.shown = [shown for shown in counter.shown if id(shown.op) not in foreign]
    return counters


def _too_little(name: str, found: Missing) -> Iterator[Evidence]:
    for lacking, shown, bounds in found.lost:
        text = f"{_value(name, shown)}, of at least {bounds.low}"
        if shown.value >= bounds.low:
            text = f"{_value(name, shown)}, as another one before it: one has overwritten the other"
        yield _evidence(Kind.UPDATE_LOST, shown.op, text, lacking)
    for shown, bounds in found.stale:
        text = f"{_value(name, shown)}, of at least {bounds.low}, and later answers show them all"
        yield _evidence(Kind.STALE_READ, shown.op, text)


def _too_much(
    name: str, verdicts: Sequence[tuple[Shown, Bounds]], resets: Sequence[Reset], undone: dict[float, Evidence]
) -> Iterator[Evidence]:
    """More than can be there: it is back after a logout, or after the cart was emptied."""
    right_later = -FOREVER  # when the next answer began that is right again
    for shown, bounds in sorted(verdicts, key=lambda pair: pair[0].op.ended, reverse=True):
        op = shown.op
        if shown.value <= bounds.high:
            right_later = op.started if shown.whole else -FOREVER
        elif shown.value > bounds.unless_logout:
            yield _evidence(Kind.REVIVED, op, f"{_value(name, shown)}, from before the logout")
        else:
            emptied_again = any(op.started < one.ended and one.started < right_later for one in resets)
            what = f"{_value(name, shown)}, of at most {bounds.high} since the cart was emptied"
            if right_later > op.started and not emptied_again:
                yield _evidence(Kind.STALE_READ, op, what)
            elif bounds.reset not in undone or op.ended < undone[bounds.reset].at:
                undone[bounds.reset] = _evidence(Kind.UPDATE_LOST, op, what)


def _value(name: str, shown: Shown) -> str:
    return f"visits {shown.value}" if name == VISITS else f"{shown.value} x {name!r} in the cart"


def _evidence(kind: Kind, op: Op, what: str, count: int = 1) -> Evidence:
    return Evidence(kind=kind, who=op.who, session=op.session, at=op.ended, what=what, count=count)


def _once(evidence: Sequence[Evidence]) -> list[Evidence]:
    """A revived session counts once, a stale or crossed answer too, however much of it is wrong."""
    seen: set[tuple[object, ...]] = set()
    result = []
    for one in sorted(evidence, key=lambda one: one.at):
        if one.kind is Kind.REVIVED:
            key: tuple[object, ...] = (one.kind, one.session)
        elif one.kind in (Kind.STALE_READ, Kind.CROSSED):
            key = (one.kind, one.who, one.at)
        else:
            key = (one.kind, one.who, one.at, one.what)
        if key not in seen:
            seen.add(key)
            result.append(one)
    return result
