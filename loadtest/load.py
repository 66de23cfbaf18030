"""A load test, an experiment without a fault: all users arrive, some seconds count, then the history is checked."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Group, RenderableType
from rich.text import Text

from deploy import Cluster, ClusterError, Member, MemberState, Role
from deploy.files import write_json
from loadtest.checker import Evidence, Findings, Kind, PhaseFigures, Row
from loadtest.claims.availability import NO_FAILED_REQUEST
from loadtest.claims.claim import (
    UNAVAILABLE,
    UPDATES,
    Claim,
    ClaimResult,
    Lacks,
    Observed,
    Verdict,
    evaluate,
    worst,
)
from loadtest.claims.data import NOTHING_LOST, find_unsent
from loadtest.described.target import DescribedTarget
from loadtest.evidence_requests import Behind, find_requests, tell
from loadtest.experiment import ARRIVAL, Phase
from loadtest.history import EventsOf, Op
from loadtest.load_profile import LoadProfile
from loadtest.operations import printable
from loadtest.progress import Schedule, Status
from loadtest.report.tables import BUSY_GENERATOR, MARKS, SATURATED, Column, Table, add_verdict, mark_grid
from loadtest.results import HISTORY, record_figures
from loadtest.runner import Runner
from loadtest.target import Target

FORMAT = 2
RESULT = "load.json"
LOAD = "load"
_OF_PROXIES = (502, 504)
_MANY = 10
"""Failures from which on the answers of a proxy are explained."""


class EndedMember(msgspec.Struct, frozen=True):
    """A member of the cluster that ended under the load, and how: "has ended, exit status 3"."""

    name: str
    how: str
    last_line: str
    """Of its log; empty where it can't be read."""

    def __str__(self) -> str:
        return ": ".join(filter(None, (f"{self.name} {self.how}", self.last_line)))


@dataclass(frozen=True)
class LoadResult:
    """The findings on one load. `description` describes the target in a record."""

    profile: LoadProfile
    seconds: float
    url: str
    description: dict[str, Any]
    findings: Findings
    lacks: Lacks = field(default_factory=dict)
    requests: Mapping[Evidence, Behind] = field(default_factory=dict)
    """The requests behind the examples of the findings."""
    ended: tuple[EndedMember, ...] = ()
    hint: str = ""
    """What explains the failures; empty for nothing."""

    @property
    def figures(self) -> PhaseFigures:
        """The figures of the load, without the arrival."""
        return Observed(self.findings).within(LOAD).figures

    @property
    def lost(self) -> ClaimResult:
        """The verdict on lost sessions and updates, arrival included."""
        return self._check(NOTHING_LOST)

    @property
    def failed(self) -> ClaimResult:
        return self._check(NO_FAILED_REQUEST)

    def _check(self, claim: Claim) -> ClaimResult:
        """Return the verdict without the claim: "no session is lost: 3 x session lost" reads like a contradiction."""
        return worst(one.named("") for one in evaluate([claim], Observed(self.findings, lacks=self.lacks)))


def run_load(
    profile: LoadProfile, seconds: float, target: Target, folder: Path, title: str, watch: Callable[[Status], None]
) -> LoadResult:
    """Run a load; its history is in `folder` then. Raises what `Runner` does."""
    phase = Phase(name=LOAD, seconds=seconds)
    schedule = Schedule([phase], Status(title, 1, 1))
    runner = Runner(target, profile, folder, schedule, watch, title=profile.mix.value)
    with runner.running():  # a cluster has an address as long as it runs
        runner.run(phase)
        url = target.url
        found = runner.finish().findings
        ended = () if target.cluster is None else find_ended(target.cluster, runner.members)
        hint = explain_failures(found.total, target)
    examples = [example for of_kind in found.examples.values() for example in of_kind]
    requests = find_requests(examples, EventsOf(folder / HISTORY, Op)) if examples else {}
    lacks = {**find_unsent(found), **target.lacks}
    return LoadResult(profile, seconds, url, dict(target.description), found, lacks, requests, ended, hint)


def find_ended(cluster: Cluster, before: Iterable[Member]) -> tuple[EndedMember, ...]:
    """Return the members that do not run any more, or that something else has started again since `before`."""
    try:
        members = {one.name: one for one in cluster.members()}
    except ClusterError:  # its engine does not answer any more
        return ()
    ended = [(one, _find_end(cluster, one, members.get(one.name))) for one in before]
    return tuple(
        EndedMember(one.name + (f" ({one.own_name})" if one.own_name else ""), how, _last_line(cluster, one.name))
        for one, how in ended
        if how
    )


def _find_end(cluster: Cluster, before: Member, after: Member | None) -> str:
    """Return how a member has ended; empty if it runs as before, or did not run then."""
    if before.state is MemberState.ENDED:
        return ""
    if after is None:
        return "is gone"
    if after.state is MemberState.ENDED:
        how = ""
        with suppress(ClusterError):  # it has just been removed
            how = cluster.exit_reason(before.name)
        return f"has ended, {how}" if how else "has ended"
    return "was started again by something else" if after.pid != before.pid else ""


def _last_line(cluster: Cluster, name: str) -> str:
    with suppress(ClusterError):
        lines = [line.strip() for line in cluster.log_lines(name, 10) if line.strip()]
        return printable(lines[-1]) if lines else "it printed nothing"
    return ""


def explain_failures(total: PhaseFigures, target: Target) -> str:
    """Return what many answers of a proxy mean, in one sentence; empty unless the target is described by a file."""
    if not isinstance(target, DescribedTarget):
        return ""
    counts = {status: _count_failures(total, status) for status in _OF_PROXIES}
    with suppress(ClusterError):  # its engine does not answer any more
        if target.cluster is not None and target.cluster.find(Role.PROXY):  # otherwise it may be the application's
            counts[UNAVAILABLE] = max(_count_failures(total, UNAVAILABLE) - total.shed, 0)
    if sum(counts.values()) < _MANY:
        return ""
    statuses = " or ".join(str(status) for status, count in sorted(counts.items()) if count)
    return (
        f"status {statuses}: probably an answer of the target's proxy. nginx leaves a server out for 10 s after one "
        'error, and answers 502 to everything while all are out ("no live upstreams" in its error log)'
    )


def _count_failures(total: PhaseFigures, status: int) -> int:
    return sum(count for what, count in total.failures.items() if what.endswith(f": status {status}"))


def show_load(result: LoadResult) -> RenderableType:
    """Return the result within 80 columns: percentiles of each request, and the findings on the history."""
    load = result.figures
    head = f"{load.users:,} users, {load.operations:,} requests in {load.seconds:.0f} s: {load.rate:,.0f} a second"
    parts: list[RenderableType] = [Text(head, "bold"), Text(""), _requests(load).render(), Text(""), _verdicts(result)]
    if warning := find_bottleneck(load.generator_cpu, result.profile.processes):
        parts += [Text(""), Text(warning, "yellow")]
    if result.ended:
        parts += [Text(""), *(Text(str(one), "yellow") for one in result.ended)]
    return Group(*parts)


def find_bottleneck(generator_cpu: float, processes: int) -> str | None:
    """Return a warning where the load generator itself was the limit."""
    if generator_cpu <= SATURATED:
        return None
    return f"{BUSY_GENERATOR} Give it --workers {processes + 1}, on a machine that has the cores."


def _requests(load: PhaseFigures) -> Table:
    names = ("count", "/s", "failed", "p50", "p90", "p99", "p99.9 ms")
    table = Table([Column("request", number=False, max_width=30), *map(Column, names)])
    for row in load.rows:
        table.add(_make_row(row, f"{row.method:<6} {row.path}", load.seconds))
    table.add_section()
    table.add(_make_row(load, "all", load.seconds))
    return table


def _make_row(figures: Row | PhaseFigures, name: str, seconds: float) -> list[str | Text]:
    failed = Text(f"{figures.failed:,}", "red" if figures.failed else "")
    times = [f"{time:,.0f}" for time in (figures.p50, figures.p90, figures.p99, figures.p999)]
    return [Text(name), f"{figures.operations:,}", f"{figures.operations / seconds:.1f}", failed, *times]


def _verdicts(result: LoadResult) -> RenderableType:
    grid, found = mark_grid(), result.findings
    losses = {
        Kind.UPDATE_LOST: f"updates lost {found.updates_lost:,}",
        Kind.STALE_READ: f"stale reads {found.stale_reads:,}",
        Kind.MISDIRECTED: f"writes misdirected {found.misdirected:,}",
        Kind.REVIVED: f"logouts revived {found.revived:,}",
        Kind.CROSSED: f"crossed {found.crossed:,}",
    }
    lost = (
        f"users logged out {found.total.users_logged_out:,} of {result.profile.users:,}, sessions lost "
        f"{found.sessions_lost:,} of {found.sessions:,}"
        f"{''.join(f', {text}' for kind, text in losses.items() if kind not in result.lacks)}"
    )
    failed = f"requests failed {found.total.failed:,} of {found.total.operations:,} (arrival included)"
    if found.total.proxied:
        failed += f", retried by the proxy {found.total.retried:,}"
    add_verdict(grid, "", result.lost, lost)
    add_verdict(grid, "", result.failed, failed)
    if result.hint:
        grid.add_row("", "", Text(result.hint, "dim"))
    for kind, examples in found.examples.items():
        grid.add_row("", "", Text(f"first {kind}: {examples[0].who}, {examples[0].what}", "dim"))
        if (behind := result.requests.get(examples[0])) is not None:
            grid.add_row("", "", Text(f"  {tell(behind)}", "dim"))
    for why, kinds in group_lacks(result.lacks).items():
        mark, _, style = MARKS[Verdict.NOT_LOOKED_FOR]
        grid.add_row("", Text(mark, style), Text(f"not looked for: {', '.join(kinds)}: {why}"))
    return grid


def group_lacks(lacks: Lacks) -> dict[str, list[str]]:
    """Return what can't be found, by the reason."""
    groups: dict[str, list[str]] = {}
    for kind, why in lacks.items():
        if isinstance(kind, Kind) or kind in UPDATES:
            groups.setdefault(why, []).append(kind.value)
    return groups


def write_load(folder: Path, result: LoadResult) -> None:
    """Write load.json: all figures. `version` rises when a field changes its meaning; times of requests are in ms.

    Raises OSError.
    """
    load = result.figures
    arrival = Observed(result.findings).within(ARRIVAL).figures
    document = {
        "version": FORMAT,
        "target": {"url": result.url, **result.description},
        "plan": record_profile(result.profile, result.seconds),
        "arrival": record_figures(ARRIVAL, arrival),
        "load": record_figures(LOAD, load),
        "latency": {
            "rows": [{"method": row.method, "name": row.path, **_record_latency(row)} for row in load.rows],
            "total": {"method": "", "name": "", **_record_latency(load)},
        },
        "findings": result.findings,
        "not_looked_for": {kind.value: why for kind, why in result.lacks.items()},
        "requests": [
            {
                "kind": one.kind,
                "item": one.item,
                "who": one.who,
                "at": one.at,
                "answer": behind.proof,
                "after": behind.before,
            }
            for one, behind in result.requests.items()
        ],
        "verdicts": {
            name: {"verdict": claim.verdict, "reason": claim.reason}
            for name, claim in (("nothing lost", result.lost), ("no request failed", result.failed))
        },
        "ended": result.ended,
        "history": HISTORY,
    }
    write_json(folder / RESULT, document)


def _record_latency(figures: Row | PhaseFigures) -> dict[str, Any]:
    times = {name: getattr(figures, name) for name in ("p50", "p90", "p99", "p999")}
    return {"requests": figures.operations, "failed": figures.failed, **times}


def record_profile(profile: LoadProfile, seconds: float) -> dict[str, Any]:
    """Describe a load in a record."""
    return {
        "users": profile.users,
        "spawn_rate": profile.spawn_rate,
        "seconds": seconds,
        "wait": list(profile.wait),
        "mix": profile.mix.value,
        "weights": profile.weights,
        "workers": profile.processes,
    }
