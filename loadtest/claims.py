"""Claims: statements with numbers that must hold after a run, and the verdict on each.

Too little data supports nothing: it is NOT_ENOUGH_DATA, never HOLDS. A loss is a fact and needs no amount of data.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import msgspec

from loadtest.checker import Findings, Kind, PhaseFigures, Window
from loadtest.checker.figures import is_failure, percentile
from loadtest.checker.phases import DURING
from loadtest.history import RENEWALS, Action, Op, OpOutcome, Probe
from loadtest.load_profile import ARRIVAL

SITE, SESSION = "site", "session"
"""Endpoints of the prober: a page without a session, and one that reads the store."""
MIN_PROBES, MIN_LOGOUTS, MIN_LOGINS, MIN_CUT_OFF, MIN_MOVED, MIN_REFUSED = 50, 10, 20, 5, 3, 200
WRITES = frozenset(Action) - {Action.LOOK, Action.ACCOUNT, Action.LIST}
_UNAVAILABLE = 503
_TOO_MANY = 429
_SLOW = 0.5
"""Seconds after which an answer to a probe is slow."""
_APART = 1.0
"""Seconds between two slow probes that belong to different windows."""


class Verdict(StrEnum):
    """From best to worst."""

    HOLDS = "holds"
    NOT_ENOUGH_DATA = "not enough data"
    BROKEN = "broken"


class ClaimResult(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on a claim and, unless it holds, the reason in a few words."""

    claim: str = ""
    verdict: Verdict
    reason: str = ""

    def named(self, claim: str) -> "ClaimResult":
        return msgspec.structs.replace(self, claim=claim)


HOLDS = ClaimResult(verdict=Verdict.HOLDS)


def broken(reason: str) -> ClaimResult:
    return ClaimResult(verdict=Verdict.BROKEN, reason=reason)


def not_enough(reason: str) -> ClaimResult:
    return ClaimResult(verdict=Verdict.NOT_ENOUGH_DATA, reason=reason)


def require(count: int, needed: int, what: str) -> ClaimResult:
    """Return HOLDS if there is enough data, otherwise NOT_ENOUGH_DATA."""
    return HOLDS if count >= needed else not_enough(f"{count} {what}; {needed} are needed")


def worst(results: Iterable[ClaimResult]) -> ClaimResult:
    """Return the worst verdict, with the reasons of all results that have it. HOLDS for no results."""
    order, ranked = list(Verdict), list(results)
    verdict = max((result.verdict for result in ranked), key=order.index, default=Verdict.HOLDS)
    reasons = (
        f"{result.claim}: {result.reason}" if result.claim else result.reason
        for result in ranked
        if result.verdict is verdict and result.reason
    )
    return ClaimResult(verdict=verdict, reason="; ".join(reasons))


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """In epoch seconds. The fault is applied from `fault` to `faulty`, and undone from `undo` to `undone`."""

    started: float
    before: float
    fault: float
    faulty: float
    undo: float
    undone: float
    ended: float


@dataclass(frozen=True)
class Observed:
    """Evidence of one run: the checker's findings, and for claims that need operations the history and its times.

    `phase` limits the figures to one phase; None: the whole run.
    """

    findings: Findings
    ops: Sequence[Op] = ()
    probes: Sequence[Probe] = ()
    timing: Timing | None = None
    phase: str | None = None

    def within(self, phase: str | None) -> "Observed":
        """Limit the figures to one phase. With None return this evidence."""
        return self if phase is None else replace(self, phase=phase)

    @property
    def figures(self) -> PhaseFigures:
        if self.phase is None:
            return self.findings.total
        return self.findings.phases.get(self.phase, PhaseFigures(seconds=0.0))

    @property
    def times(self) -> Timing:
        assert self.timing is not None, "claims about times need a run with phases"
        return self.timing

    @property
    def during(self) -> Window:
        """The window of the phase DURING, which ends with the undo."""
        end = self.times.undone
        return Window(end - self.within(DURING).figures.seconds, end)

    def count(self, kind: Kind) -> int:
        return self.figures.found.get(kind, 0)

    @property
    def lost_writes(self) -> int:
        """Updates, sessions, logouts and changes of passwords that were acknowledged and are lost."""
        found = self.findings
        return found.updates_lost + found.misdirected + found.sessions_lost + found.revived + found.passwords_undone


@dataclass(frozen=True)
class Claim:
    """Something that must hold; `text` is for people: "no session is lost".

    `min_requests` is the number of requests of logged-in users that it needs before it can hold. With `phase` its
    figures are those of this phase.
    """

    text: str
    evaluate: Callable[[Observed], ClaimResult]
    min_requests: int = 0
    phase: str | None = None

    def within(self, phase: str) -> "Claim":
        """Return the claim about one phase alone."""
        return replace(self, phase=phase)

    def check(self, seen: Observed) -> ClaimResult:
        return self.evaluate(seen.within(self.phase))


def evaluate(claims: Iterable[Claim], seen: Observed) -> tuple[ClaimResult, ...]:
    """Check each claim.

    A truncated history supports nothing: an operation in flight at its end might explain a loss.
    """
    if not seen.findings.complete:
        truncated = f"the history is truncated, after {seen.findings.total.operations} operations"
        return (not_enough(truncated).named("the history is complete"),)
    return tuple(claim.check(seen).named(claim.text) for claim in claims)


def nothing_lost(
    text: str = "no session, update or logout is lost",
    kinds: Iterable[Kind] = tuple(Kind),
    min_requests: int = 60,
    min_users: int = 12,
) -> Claim:
    """The claim that nothing of these kinds is found.

    Zero losses in n requests leave, by the rule of three, a loss rate of 3/n possible (95 %), so 60 requests exclude
    more than 5 %, where other clusters lose a half. And 12 users: if a third of them were hit, the chance to see none
    is (2/3)^12 < 1 %. Experiments on a few shared sessions need fewer users.
    """

    def evaluate(seen: Observed) -> ClaimResult:
        lost = [f"{count:,} x {kind}" for kind in kinds if (count := seen.count(kind))]
        if lost:
            return broken(f"{', '.join(lost)}; expected none")
        return _require_answers(seen.figures, min_requests, min_users)

    return Claim(text, evaluate, min_requests)


def no_failed_request(text: str = "no request fails", gets: bool = False, min_operations: int = 60) -> Claim:
    """The claim that no request fails: no 5xx, no broken connection. With `gets` only GETs are counted."""

    def evaluate(seen: Observed) -> ClaimResult:
        figures = seen.figures
        if figures.failed_gets if gets else figures.failed:
            return broken(f"failed: {list_failures(figures.failures)}")
        return require(figures.operations, min_operations, "operations")

    return Claim(text, evaluate)


def goodput(share: float, best: str, overload: float) -> Claim:
    """The claim that during the fault good answers are at least this share of those in the phase `best`, per second.

    Answers count by when they came. There must have been `overload` times as many as good ones at best: where the load
    generator lacks the time to send that much, the cluster is not overloaded.
    """

    def evaluate(seen: Observed) -> ClaimResult:
        limit, window = seen.within(best).figures, seen.during
        answered = [op for op in seen.ops if op.status and window.begin <= op.ended < window.end]
        rate = len(answered) / window.seconds
        good = sum(op.outcome is OpOutcome.OK for op in answered) / window.seconds
        if rate < overload * limit.goodput:
            return not_enough(f"{rate:.0f} requests a second were answered or refused, of {limit.goodput:.0f} at best")
        if good < share * limit.goodput:
            return broken(f"{good:.0f} good answers a second, of {limit.goodput:.0f} at best")
        return require(limit.ok, 300, f"good answers in {best}")

    return Claim(f"goodput is at least {share:.0%} of the best", evaluate)


def served_within(seconds: float) -> Claim:
    """The claim that during the fault 99 of 100 good answers come within this time, measured by the prober.

    A load generator that sends more than it has the time for sees its own delay: even refusals, which nginx answers at
    once, wait in it for seconds. The prober is a process of its own that sends little.
    """

    def evaluate(seen: Observed) -> ClaimResult:
        window = seen.during
        probes = [p for p in seen.probes if p.target == SESSION and window.begin <= p.started < window.end]
        late = max((probe.late for probe in probes), default=0.0)
        if late > seconds:
            return not_enough(f"the prober was itself late by {late:.2f} s")
        times = [probe.ended - probe.started for probe in probes if probe.outcome is OpOutcome.OK]
        p99 = percentile(times, 0.99)
        if len(times) >= MIN_PROBES and p99 > seconds:
            return broken(f"p99 of good answers {p99:.2f} s; expected {seconds:g} s at most")
        return require(len(times), MIN_PROBES, "good answers to probes")

    return Claim(f"good answers come within {seconds:g} s (p99)", evaluate)


def _evaluate_shed(seen: Observed) -> ClaimResult:
    figures = seen.within(DURING).figures
    if figures.failed > figures.shed:
        return broken(f"failed: {list_failures(figures.failures)}, of which {figures.shed} were shed")
    return HOLDS if figures.shed else not_enough("nothing was shed, so there was no overload")


def _split_during(seen: Observed) -> tuple[list[Op], list[Op]]:
    """Return the operations that began during the fault: those of users, and those that arrived beside them."""
    users: list[Op] = []
    arrived: list[Op] = []
    for op in seen.ops:
        if seen.times.fault <= op.started < seen.times.undo:
            (arrived if op.who.startswith(ARRIVAL) else users).append(op)
    return users, arrived


def _evaluate_newcomers(seen: Observed) -> ClaimResult:
    users, newcomers = _split_during(seen)
    refused = [op for op in newcomers if is_failure(op)]
    others = [op for op in refused if op.status not in (_TOO_MANY, _UNAVAILABLE)]
    failed = Counter(f"{op.method} {op.path}: {op.error}" for op in (*filter(is_failure, users), *others))
    if failed:
        return broken(f"failed: {list_failures(failed)}")
    enough = require(len(refused), MIN_REFUSED, "newcomers were refused")
    logins = sum(op.action is Action.LOGIN and op.outcome is OpOutcome.OK for op in users)
    return require(logins, MIN_LOGINS, "logins") if enough == HOLDS else enough


def _evaluate_refused_logins(seen: Observed) -> ClaimResult:
    users, _ = _split_during(seen)
    if any(op.action is Action.LOGIN and op.status == _UNAVAILABLE for op in users):
        return HOLDS
    return broken("no login was refused; the flood had no effect")


def users_within(seconds: float) -> Claim:
    """The claim that during the fault 99 of 100 requests of users, not of those who arrive, take at most this long."""

    def evaluate(seen: Observed) -> ClaimResult:
        users, _ = _split_during(seen)
        p99 = percentile((op.ended - op.started for op in users), 0.99)
        if p99 > seconds:
            return broken(f"p99 of the users' requests {p99:.2f} s; expected {seconds:g} s at most")
        return require(len(users), 100, "requests of users")

    return Claim(f"users are answered within {seconds:g} s (p99)", evaluate)


def _evaluate_failed_writes(seen: Observed) -> ClaimResult:
    bound = max(1, math.ceil(seen.figures.users / 10))
    if seen.figures.failed_writes > bound:
        return broken(f"more than {bound} writes failed: {list_failures(seen.figures.failures)}")
    return HOLDS


def failed_writes_at_most(number: int, words: str) -> Claim:
    """The claim that during the fault no more writes fail: those that were in flight, in `words`."""

    def evaluate(seen: Observed) -> ClaimResult:
        figures = seen.within(DURING).figures
        if figures.failed_writes > number:
            return broken(f"failed: {list_failures(figures.failures)}; expected {number} writes at most")
        return HOLDS

    return Claim(f"at most {number} writes fail, {words}", evaluate)


def share_of_requests(share: float, words: str, least: float | None = None) -> Claim:
    """The claim that about this share of the requests made as a logged-in user find it logged out.

    The tolerance is the 99 % interval of a binomial share (2.58 standard deviations), plus 0.05 because the model is
    not exact: round robin takes strict turns, so consecutive requests are not quite independent. From 150 requests on
    that is at most 0.05 + 2.58 * 0.5 / sqrt(150) = 0.155, less than the 1/6 between a half and its neighbours (a third,
    two thirds): they cannot be confused. 10 users: fewer follow the strict turns in lockstep (a single one would always
    find itself logged out).

    `least` replaces the lower bound where the share is an upper bound. The kernel decides how two workers that accept
    from one socket share its connections: if one takes the part p, 2p(1-p) of the requests find their user logged
    out, which is a half for p = 0.5, a third for 0.79 and 0.095 for 0.95 (run: 19 to 49 % in 17 runs).
    """
    min_requests, min_users = 150, 10

    def evaluate(seen: Observed) -> ClaimResult:
        figures = seen.figures
        enough = _require_answers(figures, min_requests, min_users)
        if enough != HOLDS:
            return enough
        tolerance = 0.05 + 2.58 * math.sqrt(share * (1 - share) / figures.as_logged_in)
        low, high = share - tolerance if least is None else least, share + tolerance
        if low <= figures.share_logged_out <= high:
            return HOLDS
        return broken(
            f"{figures.share_logged_out:.0%} of the requests found the user logged out; "
            f"expected {words} (from {low:.0%} to {high:.0%})"
        )

    return Claim(f"{words} of the requests find their user logged out", evaluate, min_requests)


def share_of_users(share: float, words: str) -> Claim:
    """The claim that about this share of the users are logged out, once each or more often.

    nginx takes turns with new clients, so the number pinned to one node varies less than a binomial one: two of its
    standard deviations are wide enough. 15 users, because from there on the lower bound is above one user.
    """
    min_requests, min_users = 60, 15

    def evaluate(seen: Observed) -> ClaimResult:
        figures = seen.figures
        enough = _require_answers(figures, min_requests, min_users)
        if enough != HOLDS:
            return enough
        mean, spread = figures.users * share, 2 * math.sqrt(figures.users * share * (1 - share))
        low, high = math.ceil(mean - spread), math.floor(mean + spread)
        if low <= figures.users_logged_out <= high:
            return HOLDS
        return broken(
            f"{figures.users_logged_out} of {figures.users} users were logged out; "
            f"expected {words} (from {low} to {high})"
        )

    return Claim(f"{words} of the users lose their session", evaluate, min_requests)


def served_by(number: int) -> Claim:
    """The claim that at least this many different nodes answer."""

    def evaluate(seen: Observed) -> ClaimResult:
        nodes = seen.figures.nodes
        if len(nodes) >= number:
            return HOLDS
        return broken(f"answered by {', '.join(nodes) or 'no node'} alone; expected {number} nodes")

    return Claim(f"{number} nodes answer", evaluate)


def _evaluate_moves(seen: Observed) -> ClaimResult:
    times = seen.times
    before, during = (
        _nodes_of_browsers(seen.ops, begin, end)
        for begin, end in ((times.before, times.fault), (times.faulty, times.undo))
    )
    if astray := sum(len(nodes) > 1 for nodes in before.values()):
        return broken(f"{astray} of {len(before)} browsers were served by several nodes before the fault")
    dead = set().union(*before.values()) - set().union(*during.values())
    pinned = [browser for browser, nodes in before.items() if nodes <= dead]
    return require(sum(browser in during for browser in pinned), MIN_MOVED, "browsers left a dead node")


def _nodes_of_browsers(ops: Iterable[Op], begin: float, end: float) -> dict[str, set[str]]:
    """Return the nodes that answered the requests of each browser from `begin` to `end`. It is named by its session."""
    nodes: dict[str, set[str]] = {}
    for op in ops:
        if op.outcome is OpOutcome.OK and op.session and op.node and begin <= op.started and op.ended <= end:
            nodes.setdefault(op.session, set()).add(op.node)
    return nodes


def _evaluate_logouts(seen: Observed) -> ClaimResult:
    result = nothing_lost(min_requests=0, min_users=1).check(seen)
    logouts = sum(op.action is Action.LOGOUT and op.outcome is OpOutcome.OK for op in seen.ops)
    return require(logouts, MIN_LOGOUTS, "logouts") if result == HOLDS else result


def _evaluate_logins(seen: Observed) -> ClaimResult:
    result = nothing_lost(min_requests=0, min_users=1).check(seen)
    logins = sum(op.action in RENEWALS and op.outcome is OpOutcome.OK and op.held > 0 for op in seen.ops)
    return require(logins, MIN_LOGINS, "logins with a session") if result == HOLDS else result


def _evaluate_passwords(seen: Observed) -> ClaimResult:
    result = nothing_lost(min_requests=0, min_users=1).check(seen)
    changes = [op for op in seen.ops if op.action is Action.PASSWORD]
    cut_off = sum(op.status == _UNAVAILABLE for op in changes)
    enough = require(cut_off, MIN_CUT_OFF, f"of {len(changes)} changes of password were cut off")
    return enough if result == HOLDS else result


def lost_at_most(seconds: float) -> Claim:
    """The claim that no more is lost than was acknowledged in the last `seconds` before the fault."""

    def evaluate(seen: Observed) -> ClaimResult:
        end = seen.times.fault
        acknowledged = [op for op in seen.ops if op.outcome is OpOutcome.OK and op.action in WRITES]
        bound = sum(end - seconds <= op.ended <= end for op in acknowledged)
        if seen.lost_writes > bound:
            return broken(f"{seen.lost_writes} writes lost, of {bound} acknowledged in the last {seconds:g} s")
        return HOLDS if bound else not_enough("nothing was written in that time")

    return Claim(f"at most the last {seconds:g} s of writes are lost", evaluate)


def _evaluate_loss(seen: Observed) -> ClaimResult:
    return HOLDS if seen.lost_writes else broken("nothing was lost; expected a loss")


def _evaluate_refusals(seen: Observed) -> ClaimResult:
    if not seen.within(DURING).figures.failed_writes:
        return broken("no write was refused; the fault had no effect")
    return HOLDS


def gap_within(seconds: float) -> Claim:
    """The claim that the prober never waits longer for a good answer, on any target."""

    def evaluate(seen: Observed) -> ClaimResult:
        if not seen.findings.availability:
            return not_enough("there was no prober")
        for name, target in seen.findings.availability.items():
            enough = require(target.probes, MIN_PROBES, f"probes of {name}")
            if enough != HOLDS:
                return enough
            if target.late > seconds:
                return not_enough(f"the prober of {name} was itself late by {target.late:.2f} s")
        gap = seen.findings.gap
        if gap > seconds:
            return broken(f"{gap:.2f} s without a good answer; expected {seconds:g} s at most")
        return HOLDS

    return Claim(f"no gap longer than {seconds:g} s", evaluate)


def recovers_within(seconds: float) -> Claim:
    """The claim that the prober gets good answers only, from this many seconds after the undo on."""

    def evaluate(seen: Observed) -> ClaimResult:
        undone = seen.times.undone
        late = [p.started - undone for p in seen.probes if p.outcome is not OpOutcome.OK and p.started > undone]
        if max(late, default=0.0) > seconds:
            return broken(f"a probe failed {max(late):.2f} s after the undo; expected none after {seconds:g} s")
        return require(len(seen.probes), MIN_PROBES, "probes")

    return Claim(f"no probe fails later than {seconds:g} s after the fault is undone", evaluate)


def failures_end_within(seconds: float) -> Claim:
    """The claim that no request of a user fails, from this many seconds after the fault on.

    For a store that lost a shard: the prober's session may be on another shard.
    """

    def evaluate(seen: Observed) -> ClaimResult:
        fault = seen.times.fault
        failed = [op.started - fault for op in seen.ops if is_failure(op) and op.started > fault]
        if max(failed, default=0.0) > seconds:
            return broken(f"a request failed {max(failed):.2f} s after the fault; expected none after {seconds:g} s")
        return HOLDS if failed else not_enough("no request failed, so none used the lost part of the store")

    return Claim(f"no request fails later than {seconds:g} s after the fault", evaluate)


def slow_window(seconds: float) -> Claim:
    """The claim that probes are answered later than 0.5 s for at most this long in one window: then the node is out.

    nginx sends the node a request from time to time, to see whether it is back: a window of its own.
    """

    def evaluate(seen: Observed) -> ClaimResult:
        longest = longest_slow_window(seen.probes, _SLOW)
        if longest > seconds:
            return broken(f"answers took more than {_SLOW:g} s for {longest:.2f} s; expected {seconds:g} s at most")
        return require(len(seen.probes), MIN_PROBES, "probes")

    return Claim(f"answers are slow for at most {seconds:g} s", evaluate)


def bounded(seconds: float) -> Claim:
    """The claim that each request made during the fault gets its answer, good or not, within this time."""

    def evaluate(seen: Observed) -> ClaimResult:
        asked = [op for op in seen.ops if seen.times.fault <= op.started < seen.times.undo]
        slowest = max((op.ended - op.started for op in asked), default=0.0)
        if slowest > seconds:
            return broken(f"an answer took {slowest:.2f} s; expected {seconds:g} s at most")
        return require(len(asked), 20, "requests during the fault")

    return Claim(f"every answer within {seconds:g} s", evaluate)


def answered_within(seconds: float) -> Claim:
    """The claim that every request of the whole run gets its answer, good or not, within this time."""

    def evaluate(seen: Observed) -> ClaimResult:
        slowest = max((op.ended - op.started for op in seen.ops), default=0.0)
        if slowest > seconds:
            return broken(f"an answer took {slowest:.2f} s; expected {seconds:g} s at most")
        return HOLDS

    return Claim(f"every answer of the run within {seconds:g} s", evaluate)


def _evaluate_server_errors(seen: Observed) -> ClaimResult:
    errors = {what: count for what, count in seen.figures.failures.items() if what.endswith("status 500")}
    return broken(f"failed: {list_failures(errors)}") if errors else HOLDS


def site_fast(seconds: float) -> Claim:
    """The claim that pages without a session stay fast during the fault: 99 of 100 probes, and no probe fails."""

    def evaluate(seen: Observed) -> ClaimResult:
        probes = [p for p in seen.probes if p.target == SITE and seen.times.fault <= p.started < seen.times.undo]
        if failed := sum(probe.outcome is not OpOutcome.OK for probe in probes):
            return broken(f"{failed} probes failed")
        p99 = percentile((probe.ended - probe.started for probe in probes), 0.99)
        if len(probes) >= MIN_PROBES and p99 > seconds:
            return broken(f"p99 {p99:.2f} s; expected {seconds:g} s at most")
        return require(len(probes), MIN_PROBES, "probes")

    return Claim(f"pages without a session are answered within {seconds:g} s", evaluate)


NOTHING_LOST = nothing_lost()
NO_SESSION_LOST = nothing_lost(
    "no session is lost, no logout revived", kinds=(Kind.SESSION_LOST, Kind.REVIVED, Kind.CROSSED)
)
NO_UPDATE_LOST = nothing_lost("no update is lost, whatever the order of the writes", min_requests=200, min_users=4)
"""For a few users with several tabs each."""
NO_FAILED_REQUEST = no_failed_request()
NO_FAILED_GET = no_failed_request("no GET fails", gets=True)
FEW_FAILED_WRITES = Claim("only writes in flight fail, for a tenth of the users at most", _evaluate_failed_writes)
"""Only writes fail that were in flight on the node that died.

A GET is sent to another node by the proxy; a POST that was sent is not repeated. Each user has at most one request in
flight, and waits most of the time, so a tenth of the users (at least one) is a generous bound.
"""
ONLY_SHED = Claim("no request fails during the fault but by a 503 with Retry-After", _evaluate_shed)
ONLY_NEWCOMERS_REFUSED = Claim("no request of a user fails, and newcomers get a 429 or a 503", _evaluate_newcomers)
"""Users go on logging in and writing, while many of those who arrive without a session are refused."""
PINNED_MOVE = Claim("each browser has one node, and leaves it when it dies", _evaluate_moves)
LOGINS_REFUSED = Claim("users can't log in", _evaluate_refused_logins)
"""The failure that another variant prevents does happen."""
LOGOUTS_STAY = Claim("a session that was logged out stays so, whatever writes are in flight", _evaluate_logouts)
"""Nothing is lost or revived in enough races of a logout with writes of its session."""
LOGINS_STAY = Claim("who logs in again stays logged in, and loses nothing", _evaluate_logins)
"""Nothing is lost in enough logins and changes of password while other tabs of the browser work."""
CHANGES_ARE_WHOLE = Claim("a change of password is whole, wherever it is cut off", _evaluate_passwords)
"""Nothing is lost or revived: a new password is never accepted while another session of before lives."""
SOMETHING_LOST = Claim("acknowledged writes are lost", _evaluate_loss)
"""The loss that another variant prevents does happen."""
NO_SERVER_ERROR = Claim("no request is answered with 500", _evaluate_server_errors)
WRITES_REFUSED = Claim("writes are refused with an error", _evaluate_refusals)
"""Writes fail during the fault: no write is acknowledged that could not be stored."""


def list_failures(failures: Mapping[str, int]) -> str:
    """Return the failures in words: "2 x POST /visits: status 502, 1 x ..."."""
    return ", ".join(f"{count} x {what}" for what, count in failures.items())


def longest_slow_window(probes: Sequence[Probe], slow: float) -> float:
    """Return the longest time, in seconds, over which probes were sent whose answers took more than `slow` seconds.

    The time of sending counts, because an answer that takes 2 s says nothing about the next request.
    """
    sent = sorted(probe.started for probe in probes if probe.ended - probe.started > slow)
    longest = begin = 0.0
    for previous, now in zip([None, *sent], sent, strict=False):
        if previous is None or now - previous > _APART:
            begin = now
        longest = max(longest, now - begin)
    return longest


def _require_answers(figures: PhaseFigures, min_requests: int, min_users: int) -> ClaimResult:
    enough = require(figures.users, min_users, "users")
    return enough if enough != HOLDS else require(figures.as_logged_in, min_requests, "requests made while logged in")
