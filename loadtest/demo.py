"""The demo: six scenes on real clusters that show when sessions are lost, and when they are not.

A scene is an experiment whose hypothesis is the sentence below the table. Before its first phase all users log in
within a second or two. These logins would dominate p99, so they are a phase of their own, with claims, in the record
but not in the table.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from deploy import ClusterSpec, StoreKind
from loadtest.checker import PhaseFigures
from loadtest.claims.availability import FEW_FAILED_WRITES, no_failed_request, served_by
from loadtest.claims.claim import Claim, Observed, Verdict, list_failures, worst
from loadtest.claims.data import NOTHING_LOST, nothing_lost, share_of_requests, share_of_users
from loadtest.experiment import Experiment, Phase, Variant, cluster
from loadtest.faults import NOTHING, Fault, kill, scale
from loadtest.load_profile import Mix
from loadtest.report.sentences import capitalize, tell
from loadtest.report.tables import BUSY_GENERATOR, LOSS, SATURATED, Column, Table, add_verdict, mark_grid
from loadtest.results import CaseResults, Result, record_figures
from proxy import Balance

FORMAT = 2
WIDE = 100
"""Columns from which on nothing in the table is abbreviated."""
ROOMY = 112

SECONDS = 5.0
"""How long a scene measures by default."""
_NO_FAILED = no_failed_request(min_operations=0)
_STEADY: tuple[Claim, ...] = (NOTHING_LOST, _NO_FAILED)
_ONE_NODE_DIES: tuple[Claim, ...] = (no_failed_request("no GET fails", gets=True, min_operations=0), FEW_FAILED_WRITES)
_A_THIRD = share_of_users(1 / 3, "about a third")
_ARRIVAL: tuple[Claim, ...] = (nothing_lost(min_requests=0, min_users=0), _NO_FAILED)
_ARRIVAL_MISSES: tuple[Claim, ...] = (_NO_FAILED,)
# Each connection that nginx keeps open to a node belongs to one worker. With few connections chance decides how often a
# request meets the other worker, so here each request has a connection of its own.
_NO_KEEPALIVE = {"keepalive": 1, "keepalive_timeout": 0.001}


def _phase(name: str, nodes: int, claims: tuple[Claim, ...], fault: Fault = NOTHING, of: int = 1) -> Phase:
    """Return one `of` several phases of a scene. The cluster stays as the fault leaves it."""
    return Phase(name=name, seconds=SECONDS / of, nodes=nodes, fault=fault, claims=claims)


def _scene(
    number: int,
    name: str,
    title: str,
    hypothesis: str,
    spec: ClusterSpec,
    *phases: Phase,
    arrival: tuple[Claim, ...] = _ARRIVAL,
) -> Experiment:
    variant = Variant(spec=spec, arrival=arrival, phases=phases)
    return Experiment(
        number=number, name=name, title=title, hypothesis=hypothesis, variants=(variant,), mix=Mix.EVERYDAY
    )


SCENES = (
    _scene(
        1,
        "one-worker",
        "1 node, 1 worker",
        "Sessions in a process's memory work, as long as there is one process.",
        cluster(1, StoreKind.MEMORY),
        _phase("steady", 1, _STEADY),
    ),
    _scene(
        2,
        "two-workers",
        "1 node, 2 workers",
        "Scaling up breaks it: each of two workers has sessions of its own, so up to half the requests find the user "
        "logged out.",
        cluster(1, StoreKind.MEMORY, proxy=_NO_KEEPALIVE, workers=2),
        _phase("steady", 1, (share_of_requests(1 / 2, "up to half", least=0.08), _NO_FAILED)),
        arrival=_ARRIVAL_MISSES,
    ),
    _scene(
        3,
        "three-nodes",
        "3 nodes",
        "Scaling out breaks it more: with N nodes that take turns, (N-1)/N of the requests find the user logged out.",
        cluster(3, StoreKind.MEMORY),
        _phase("steady", 3, (share_of_requests(2 / 3, "about two thirds"), _NO_FAILED)),
        arrival=_ARRIVAL_MISSES,
    ),
    _scene(
        4,
        "sticky-kill",
        "3 nodes, pinned",
        "Pinning each browser to a node hides it, until a node dies and takes its share of the users along.",
        cluster(3, StoreKind.MEMORY, Balance.STICKY),
        _phase("steady", 3, _STEADY, of=2),
        _phase("node-2 killed", 2, (_A_THIRD, *_ONE_NODE_DIES), kill("node-2"), of=2),
    ),
    _scene(
        5,
        "redis-kill",
        "3 nodes, shared",
        "With a shared store any node can serve any user, so any node can die and no user is logged out.",
        cluster(3, StoreKind.REDIS),
        _phase("steady", 3, (*_STEADY, served_by(3)), of=2),
        _phase("node-2 killed", 2, (NOTHING_LOST, *_ONE_NODE_DIES), kill("node-2"), of=2),
    ),
    _scene(
        6,
        "scale",
        "scaled out and in",
        "And nodes come and go under load without anyone noticing: drained first, they drop no request.",
        cluster(3, StoreKind.REDIS),
        _phase("steady", 3, (*_STEADY, served_by(3)), of=3),
        _phase("out to 5", 5, (*_STEADY, served_by(5)), scale(5), of=3),
        _phase("back to 3", 3, _STEADY, scale(3), of=3),
    ),
)

BY_NAME: Mapping[str, Experiment] = {scene.name: scene for scene in SCENES}


def show_scenes(results: Sequence[Result], width: int) -> RenderableType:
    """Return the demo's result for a console of `width` columns: one table, and a sentence for each scene."""
    parts = [_make_table(results, width).render(), Text(""), _sentences(results)]
    if any(result.generator_cpu > SATURATED for result in results):
        parts.append(Text(BUSY_GENERATOR, "yellow"))
    return Group(*parts)


def _make_table(results: Sequence[Result], width: int) -> Table:
    wide = width >= WIDE
    texts = ("", "scene", "nodes", "store", "balancing" if wide else "policy")
    numbers: tuple[str, ...] = (
        ("requests", "req./s", "p50\nms", "p99\nms") if wide else ("req.", "/s", "p50\nms", "p99\nms")
    )
    numbers += ("found\nlogged out", "users\nlogged out") if wide else ("found\nlogged\nout", "users\nlogged\nout")
    columns = [Column(header, number=header not in texts or header == "nodes") for header in texts]
    columns += [Column(header) for header in (*numbers, "failed")]
    table = Table(columns, gap=1 if width >= ROOMY else 0)  # on top of the one that the box has
    for number, result in enumerate(results, 1):
        table.add(_make_row(number, result, wide))
    return table


def _make_row(number: int, result: Result, wide: bool) -> list[Text | str]:
    """Return the cells of a scene, with a line for each phase."""
    spec, phases = _variant(result).spec, _variant(result).phases
    balancing = "-" if spec.nodes == 1 else spec.balance.value.replace("_", " " if wide else "\n")
    titles = [Text(result.title), *(Text(f"  {phase.name}", "dim") for phase in phases[1:])]
    lines = [[Text(str(phase.nodes)), *_make_cells(_figures(result, phase.name), wide)] for phase in phases]
    nodes, *figures = (Text("\n").join(column) for column in zip(*lines, strict=True))
    return [Text(str(number), "dim"), Text("\n").join(titles), nodes, spec.store.value, balancing, *figures]


def _make_cells(figures: PhaseFigures, wide: bool) -> list[Text]:
    found, users = figures.logged_out, figures.users_logged_out
    total = f"/{figures.users}" if wide or figures.users < 100 else ""
    return [
        Text(_count(figures.operations, wide)),
        Text(f"{figures.rate:.0f}"),
        Text(f"{figures.p50:.0f}"),
        Text(f"{figures.p99:.0f}"),
        Text(f"{_count(found, wide)} {figures.share_logged_out:.0%}", LOSS) if found else Text("0"),
        Text(f"{users}{total}", LOSS) if users else Text("0"),
        Text(f"{figures.failed:,}", "yellow" if figures.failed else ""),
    ]


def _variant(result: Result) -> Variant:
    (variant,) = BY_NAME[result.name].variants
    return variant


def _figures(result: Result, phase: str) -> PhaseFigures:
    return Observed(result.findings).within(phase).figures if result.findings else PhaseFigures(seconds=0.0)


def _count(number: int, wide: bool) -> str:
    """Return the number; in a narrow table abbreviated from 10,000 on: "12k"."""
    return f"{number:,}" if wide or number < 10_000 else f"{number / 1000:.0f}k"


def _sentences(results: Sequence[Result]) -> RenderableType:
    """Return lines for each scene: its verdict and hypothesis, what was lost, and the requests that failed."""
    grid = mark_grid()
    for number, result in enumerate(results, 1):
        add_verdict(grid, str(number), result, result.hypothesis)
        told = tell(CaseResults((result,)))
        if told is not None and told.lost:
            grid.add_row("", "", Text.assemble((capitalize(told.losses), LOSS), f"; {told.costs}."))
        figures = (_figures(result, phase.name) for phase in _variant(result).phases)
        failures = sum((Counter(one.failures) for one in figures), Counter[str]())
        if failures and result.verdict is Verdict.HOLDS:
            # A POST that was sent may have been carried out, so it is never repeated.
            note = f"In flight on the killed node, and not repeated because they write: {list_failures(failures)}."
            grid.add_row("", "", Text(note, "dim"))
    return grid


def make_record(results: Sequence[Result], users: int, seconds: float) -> dict[str, Any]:
    """Return all figures and verdicts of all phases for JSON. `version` rises when a field changes its meaning."""
    return {
        "version": FORMAT,
        "users": users,
        "seconds": seconds,
        "holds": all(result.verdict is Verdict.HOLDS for result in results),
        "scenes": [_record_scene(result) for result in results],
    }


def _record_scene(result: Result) -> dict[str, Any]:
    spec = _variant(result).spec
    return {
        "name": result.name,
        "title": result.title,
        "lesson": result.hypothesis,
        "nodes": spec.nodes,
        "workers": spec.workers,
        "store": spec.store.value,
        "balancing": spec.balance.value,
        "proxy": dict(spec.proxy),
        "verdict": result.verdict.value,
        "reason": result.reason,
        "phases": [_record_phase(result, phase) for phase in dict.fromkeys(claim.phase for claim in result.claims)],
    }


def _record_phase(result: Result, phase: str) -> dict[str, Any]:
    verdict = worst(one.named("") for one in result.claims if one.phase == phase)
    return {
        **record_figures(phase, _figures(result, phase)),
        "verdict": verdict.verdict.value,
        "reason": verdict.reason,
    }
