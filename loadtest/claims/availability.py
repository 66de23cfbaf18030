"""Claims about failures: which requests may fail, how many, and for how long."""

import math
import re
from collections import Counter
from collections.abc import Iterable

from loadtest.checker.figures import is_failure
from loadtest.checker.phases import DURING
from loadtest.claims.claim import (
    MIN_LOGINS,
    MIN_PROBES,
    UNAVAILABLE,
    Claim,
    ClaimResult,
    Observed,
    Sight,
    Timing,
    broken,
    holds,
    list_failures,
    not_enough,
    require,
)
from loadtest.claims.data import WRITES
from loadtest.history import Action, Op, OpOutcome
from loadtest.load_profile import ARRIVAL

MIN_MOVED, MIN_REFUSED = 3, 200
_TOO_MANY = 429
_MIN_OPERATIONS = 60
_WAITED = 1.0
"""Seconds from which on a write has waited for the store."""


def no_failed_request(text: str = "no request fails", gets: bool = False, min_operations: int = 60) -> Claim:
    """The claim that no request fails: no 5xx, no broken connection. With `gets` only GETs are counted."""

    def evaluate(seen: Observed) -> ClaimResult:
        figures = seen.figures
        if figures.failed_gets if gets else figures.failed:
            failed = {what: count for what, count in figures.failures.items() if not gets or what.startswith("GET ")}
            return broken(f"failed: {list_failures(failed)}")
        count = sum(row.operations for row in figures.rows if row.method == "GET") if gets else figures.operations
        seen_ = f"0 of {count:,} {'GETs' if gets else 'requests'} failed"
        return require(figures.operations, min_operations, "operations", seen_)

    return Claim(text, evaluate)


def _evaluate_shed(seen: Observed) -> ClaimResult:
    figures = seen.within(DURING).figures
    if figures.failed > figures.shed:
        return broken(f"failed: {list_failures(figures.failures)}, of which {figures.shed} were shed")
    if not figures.shed:
        return not_enough("nothing was shed, so there was no overload")
    return holds(f"{figures.failed:,} of {figures.operations:,} requests failed, all by a 503 with Retry-After")


def split_during(seen: Observed) -> tuple[list[Op], list[Op]]:
    """Return the operations that began during the fault: those of users, and those that arrived beside them."""
    users: list[Op] = []
    arrived: list[Op] = []
    for op in seen.ops:
        if seen.times.fault <= op.started < seen.times.undo:
            (arrived if op.who.startswith(ARRIVAL) else users).append(op)
    return users, arrived


def _evaluate_newcomers(seen: Observed) -> ClaimResult:
    users, newcomers = split_during(seen)
    refused = [op for op in newcomers if is_failure(op)]
    others = [op for op in refused if op.status not in (_TOO_MANY, UNAVAILABLE)]
    failed = Counter(f"{op.method} {op.path}: {op.error}" for op in (*filter(is_failure, users), *others))
    if failed:
        return broken(f"failed: {list_failures(failed)}")
    enough = require(len(refused), MIN_REFUSED, "newcomers were refused")
    logins = sum(op.action is Action.LOGIN and op.outcome is OpOutcome.OK for op in users)
    counts = f"0 of {len(users):,} requests of users failed, {len(refused):,} of {len(newcomers):,} newcomers refused"
    return require(logins, MIN_LOGINS, "logins", counts) if enough.holds else enough


def _evaluate_refused_logins(seen: Observed) -> ClaimResult:
    users, _ = split_during(seen)
    logins = [op for op in users if op.action is Action.LOGIN]
    if refused := sum(op.status == UNAVAILABLE for op in logins):
        return holds(f"{refused} of {len(logins)} logins were refused")
    return broken("no login was refused; the flood had no effect")


def _evaluate_failed_writes(seen: Observed) -> ClaimResult:
    bound = max(1, math.ceil(seen.figures.users / 10))
    if seen.figures.failed_writes > bound:
        writes = {what: count for what, count in seen.figures.failures.items() if not what.startswith("GET ")}
        return broken(f"more than {bound} writes failed: {list_failures(writes)}")
    return holds(f"{seen.figures.failed_writes} failed; {bound} at most are expected")


def failed_writes_at_most(number: int, words: str) -> Claim:
    """The claim that during the fault no more writes fail: those that were in flight, in `words`."""

    def evaluate(seen: Observed) -> ClaimResult:
        figures = seen.within(DURING).figures
        if figures.failed_writes > number:
            return broken(f"failed: {list_failures(figures.failures)}; expected {number} writes at most")
        return holds(f"{figures.failed_writes} failed")

    return Claim(f"at most {number} writes fail, {words}", evaluate)


def served_by(number: int) -> Claim:
    """The claim that at least this many different nodes answer."""

    def evaluate(seen: Observed) -> ClaimResult:
        nodes = seen.figures.nodes
        if len(nodes) >= number:
            return holds(", ".join(nodes))
        return broken(f"answered by {', '.join(nodes) or 'no node'} alone; expected {number} nodes")

    return Claim(f"{number} nodes answer", evaluate, sights=(Sight.NODES,))


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
    moved = sum(browser in during for browser in pinned)
    return require(moved, MIN_MOVED, "browsers left a dead node", f"{moved} browsers left a dead node")


def _nodes_of_browsers(ops: Iterable[Op], begin: float, end: float) -> dict[str, set[str]]:
    """Return the nodes that answered the requests of each browser from `begin` to `end`. It is named by its session."""
    nodes: dict[str, set[str]] = {}
    for op in ops:
        if op.outcome is OpOutcome.OK and op.session and op.node and begin <= op.started and op.ended <= end:
            nodes.setdefault(op.session, set()).add(op.node)
    return nodes


def _evaluate_refusals(seen: Observed) -> ClaimResult:
    refused = seen.within(DURING).figures.failed_writes
    writes = () if refused else tuple(op for op in seen.ops if _is_write_during(op, seen.times))
    # One that needs a token from a page has failed with it, which is a GET.
    if not (refused := refused or sum(map(is_failure, writes))):
        slowest = max((op.ended - op.started for op in writes), default=0.0)
        if slowest < _WAITED:
            return broken("no write was refused; the fault had no effect")
        return broken(f"no write was refused; writes waited, the slowest {slowest:.1f} s")
    return holds(f"{refused} writes were refused")


def _is_write_during(op: Op, times: Timing) -> bool:
    return op.action in WRITES and op.started < times.undone and op.ended > times.fault


def gap_within(seconds: float) -> Claim:
    """The claim that the prober never waits longer for a good answer, on any target."""

    def evaluate(seen: Observed) -> ClaimResult:
        if not seen.findings.availability:
            return not_enough("there was no prober")
        for name, target in seen.findings.availability.items():
            enough = require(target.probes, MIN_PROBES, f"probes of {name}")
            if not enough.holds:
                return enough
            if target.late > seconds:
                return not_enough(f"the prober of {name} was itself late by {target.late:.2f} s")
        gap = seen.findings.gap
        if gap > seconds:
            return broken(f"{gap:.2f} s without a good answer; expected {seconds:g} s at most")
        return holds(f"{gap:.2f} s")

    return Claim(f"no gap longer than {seconds:g} s", evaluate)


def recovers_within(seconds: float) -> Claim:
    """The claim that the prober gets good answers only, from this many seconds after the undo on."""

    def evaluate(seen: Observed) -> ClaimResult:
        undone = seen.times.undone
        late = [p.started - undone for p in seen.probes if p.outcome is not OpOutcome.OK and p.started > undone]
        if max(late, default=0.0) > seconds:
            return broken(f"a probe failed {max(late):.2f} s after the undo; expected none after {seconds:g} s")
        last = f"the last one {max(late):.2f} s after it" if late else "none failed after it"
        return require(sum(1 for _ in seen.probes), MIN_PROBES, "probes", last)

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
        if not failed:
            return not_enough("no request failed, so none used the lost part of the store")
        return holds(f"the last one {max(failed):.2f} s after it")

    return Claim(f"no request fails later than {seconds:g} s after the fault", evaluate)


def _evaluate_server_errors(seen: Observed) -> ClaimResult:
    errors = {what: count for what, count in seen.figures.failures.items() if what.endswith("status 500")}
    return broken(f"failed: {list_failures(errors)}") if errors else holds(f"none of {seen.figures.operations:,}")


def failed_from_the_fault_within(seconds: float) -> Claim:
    """The claim that only requests fail that were in flight on what was lost: they had begun at the fault, or within
    these seconds, until nothing used it any longer; and for each user one at most, which has one in flight.

    An answer that names only nodes which go on answering was not of a request on what was lost. Where nothing names a
    node, as without an answer, the times alone decide, and the result says how many these were.

    While the fault is undone a request may be refused (503): what comes back takes some before it reaches its store.
    """

    def evaluate(seen: Observed) -> ClaimResult:
        times = seen.times
        failed = [op for op in seen.ops if is_failure(op)]
        refused = [op for op in failed if op.status == UNAVAILABLE and times.undo <= op.started <= times.undone]
        lost = [op for op in failed if op not in refused]
        late = [op.started - times.fault for op in lost if op.started > times.fault + seconds or op.ended < times.fault]
        if late:
            return broken(f"a request that failed began {max(late):.2f} s after the fault; expected none so late")
        lasting = _nodes_that_last(seen.ops, times.fault + seconds, times.undo)
        elsewhere = [nodes for op in lost if (nodes := _asked(op)) and nodes <= lasting]
        if elsewhere:
            return broken(f"{len(elsewhere)} requests failed at nodes that were not lost: {_join(elsewhere)}")
        most = max(Counter(op.who for op in lost).values(), default=0)
        if most > 1:
            return broken(f"{most} requests of one user failed; expected one at most")
        found = f"{len(lost)} failed"
        if unknown := sum(not _asked(op) for op in lost):
            found += f"; of {unknown} no answer names a node"
        if refused:
            found += f"; {len(refused)} more were refused as it came back"
        return require(seen.figures.operations, _MIN_OPERATIONS, "operations", found)

    return Claim("only requests in flight on what was lost fail, for each user one at most", evaluate)


def _asked(op: Op) -> set[str]:
    """Return the nodes that a request was sent to: addresses as the proxy tells them, else the name in the answer."""
    return set(re.findall(r"[^\s,]+:\d+", op.upstream)) or ({op.node} if op.node else set())


def _nodes_that_last(ops: Iterable[Op], begin: float, end: float) -> set[str]:
    """Return the nodes that gave good answers to requests sent from `begin` to `end`, by address and by name."""
    good = [op for op in ops if op.outcome is OpOutcome.OK and begin <= op.started < end]
    # Of several addresses the last one answered.
    return {name for op in good for name in (op.node, op.upstream.rpartition(" ")[2]) if name}


def _join(nodes: Iterable[set[str]]) -> str:
    return ", ".join(sorted(set().union(*nodes)))


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
PINNED_MOVE = Claim(
    "each browser has one node, and leaves it when it dies",
    _evaluate_moves,
    sights=(Sight.NODES,),
    premise="the proxy pins browsers to nodes",
)
LOGINS_REFUSED = Claim("users can't log in", _evaluate_refused_logins)
"""The failure that another variant prevents does happen."""
NO_SERVER_ERROR = Claim("no request is answered with 500", _evaluate_server_errors)
WRITES_REFUSED = Claim("writes are refused with an error", _evaluate_refusals)
"""Writes fail during the fault: no write is acknowledged that could not be stored."""
