"""The load matrix: small clusters under equal load, one after another, over stores, policies and numbers of nodes.

For each it measures throughput, CPU time by role, and the operations of the store for each request.
"""

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from deploy import Cluster, ClusterSpec, NodeKind, Role, StoreKind
from deploy.cluster import StoreStatistics
from deploy.spec import check_nodes
from loadtest.checker import PhaseFigures
from loadtest.cpu import cpu_seconds_with_children
from loadtest.experiment import Phase
from loadtest.experiment import cluster as make_spec
from loadtest.load import LOAD, record_profile
from loadtest.load_profile import LoadProfile
from loadtest.progress import Schedule, Status
from loadtest.report.tables import BUSY_GENERATOR, LOSS, SATURATED, Column, Table
from loadtest.results import record_figures
from loadtest.runner import Runner
from loadtest.suite import FAILURES, MakeCluster
from loadtest.target import ClusterTarget
from proxy import Balance

FORMAT = 2
SECONDS_AROUND = 7.0
"""Seconds of a cell without measuring: start of cluster and generator, logins, stop."""
_LEGEND = (
    "CPU ms, ops, trips: for each request, of all nodes together; commands that the store carried out, within scripts "
    "too; and how often it read from a node, where commands that came together count once. p50, p99 in ms. out: of the "
    "requests made while logged in, those that found the user logged out. x 1 node: throughput beside one node with "
    "that store."
)
COLUMNS = (
    Column("store", number=False),
    Column("balancing", number=False),
    Column("nodes"),
    Column("req./s"),
    Column("x 1 node", "x 1\nnode"),
    Column("CPU ms", "CPU\nms"),
    *map(Column, ("ops", "trips", "p50", "p99", "out", "failed")),
)


@dataclass(frozen=True)
class Cell:
    """One cluster. A single node behaves equally under every policy, so it is measured once: `balance` is None."""

    node: NodeKind
    store: StoreKind
    balance: Balance | None
    nodes: int

    @property
    def spec(self) -> ClusterSpec:
        return make_spec(self.nodes, self.store, self.balance or Balance.ROUND_ROBIN, node=self.node)

    @property
    def name(self) -> str:
        nodes = "1 node" if self.nodes == 1 else f"{self.nodes} nodes, {self.balance}"
        return f"{self.store}, {nodes}"


@dataclass(frozen=True)
class Usage:
    """Since the start: seconds of CPU time of all processes by role, and the statistics of the store."""

    cpu: Mapping[Role, float]
    store: StoreStatistics | None


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Cost of one request, on average. `cpu` in ms by role; the others are None where the store has no server."""

    cpu: Mapping[str, float]
    commands: Mapping[str, float] | None
    reads: float | None

    @property
    def operations(self) -> float | None:
        """All commands that the store carried out, within scripts too."""
        return None if self.commands is None else sum(self.commands.values())


@dataclass(frozen=True, kw_only=True)
class CellResult:
    """The figures of one cell, or the error."""

    cell: Cell
    load: PhaseFigures | None = None
    cost: Cost | None = None
    error: str = ""


def make_cells(
    node: NodeKind, stores: Iterable[StoreKind], balances: Iterable[Balance], nodes: Iterable[int]
) -> tuple[Cell, ...]:
    """Return all combinations, by store, policy and number of nodes. Raises ClusterError for an invalid one."""
    sizes, policies = sorted(set(nodes)), tuple(dict.fromkeys(balances))
    for size in sizes:
        check_nodes(size)
    cells = []
    for store in dict.fromkeys(stores):
        cells += [Cell(node, store, None, 1)] if 1 in sizes else []
        cells += [Cell(node, store, balance, size) for balance in policies for size in sizes if size > 1]
    for cell in cells:
        assert cell.spec  # which checks itself
    return tuple(cells)


def estimate_seconds(count: int, profile: LoadProfile, seconds: float) -> float:
    """Return the estimated seconds for `count` cells."""
    return count * (SECONDS_AROUND + profile.users / profile.spawn_rate + seconds)


def run_matrix(
    cells: Sequence[Cell],
    profile: LoadProfile,
    seconds: float,
    make_cluster: MakeCluster,
    watch: Callable[[Status], None],
) -> Iterator[CellResult]:
    """Measure one cell after another. A cell that fails yields its error, and the others go on."""
    for number, cell in enumerate(cells, 1):
        later = estimate_seconds(len(cells) - number, profile, seconds)
        phase = Phase(name=LOAD, seconds=seconds)
        schedule = Schedule([phase], Status(cell.name, number, len(cells)), later)
        try:
            with tempfile.TemporaryDirectory(prefix="session-matrix-") as folder:
                target = ClusterTarget(make_cluster(cell.spec))
                runner = Runner(target, profile, Path(folder), schedule, watch, title=cell.name)
                with runner.running():
                    before = measure_usage(target.cluster)
                    runner.run(phase)
                    after = measure_usage(target.cluster)
                    load = runner.finish().findings.phases[LOAD]
            yield CellResult(cell=cell, load=load, cost=make_cost(before, after, load.operations))
        except FAILURES as error:
            yield CellResult(cell=cell, error=str(error))
        except OSError as error:
            yield CellResult(cell=cell, error=f"cannot write the history: {error.strerror}")


def measure_usage(cluster: Cluster) -> Usage:
    """Return what the cluster has used since its start. Raises ClusterError."""
    cpu = dict.fromkeys(Role, 0.0)
    for member in cluster.members():
        if member.pid is not None:
            cpu[member.role] += _measure_cpu(member.pid)
    return Usage(cpu, cluster.store.statistics() if cluster.spec.store.needs_redis else None)


def make_cost(before: Usage, after: Usage, requests: int) -> Cost:
    """Return the average cost of `requests` between two moments; zeros for no requests."""
    share = 1 / requests if requests else 0.0
    cpu = {role.value: (after.cpu[role] - before.cpu[role]) * 1000 * share for role in Role}
    if before.store is None or after.store is None:
        return Cost(cpu=cpu, commands=None, reads=None)
    counts = {name: count - before.store.commands.get(name, 0) for name, count in after.store.commands.items()}
    commands = {name: count * share for name, count in sorted(counts.items()) if count}
    return Cost(cpu=cpu, commands=commands, reads=(after.store.reads - before.store.reads) * share)


def _measure_cpu(pid: int) -> float:
    """Return the CPU time of a process and its descendants in seconds, user and system."""
    try:
        return cpu_seconds_with_children(pid)
    except OSError:
        return 0.0  # it ended meanwhile, so requests failed


def show_matrix(results: Sequence[CellResult], profile: LoadProfile, seconds: float) -> RenderableType:
    """Return all rows within 80 columns, also of cells that failed, and a legend."""
    notes = [_LEGEND, _conditions(profile, seconds)]
    if any(_is_saturated(one) for one in results):
        notes.append(f"*: {BUSY_GENERATOR}")
    failures = [Text(f"{one.cell.name}: {one.error}", "red") for one in results if one.error]
    return Group(make_table(results).render(), Text(""), *(Text(note, "dim") for note in notes), *failures)


def make_markdown(results: Sequence[CellResult], profile: LoadProfile, seconds: float) -> str:
    """Return the table for a pull request."""
    return "\n".join([make_table(results).markdown(), _LEGEND, "", _conditions(profile, seconds), ""])


def make_table(results: Sequence[CellResult]) -> Table:
    table = Table(COLUMNS, gap=0)
    alone = {one.cell.store: one.load.rate for one in results if one.cell.nodes == 1 and one.load}
    for one in results:
        table.add(_make_row(one, alone.get(one.cell.store)), style="red" if one.error else "")
    return table


def _make_row(one: CellResult, alone: float | None) -> list[str | Text]:
    cell, load, cost = one.cell, one.load, one.cost
    head = [cell.store.value, cell.balance.value if cell.balance else "-", str(cell.nodes)]
    if load is None or cost is None:
        return [*head, *["-"] * (len(COLUMNS) - len(head))]
    return [
        *head,
        f"{load.rate:,.0f}{'*' if _is_saturated(one) else ''}",
        f"{load.rate / alone:.2f}" if alone else "-",
        f"{cost.cpu['node']:.2f}",
        "-" if cost.operations is None else f"{cost.operations:.1f}",
        "-" if cost.reads is None else f"{cost.reads:.1f}",
        f"{load.p50:,.0f}",
        f"{load.p99:,.0f}",
        Text(f"{load.share_logged_out:.0%}", LOSS if load.logged_out else ""),
        Text(f"{load.failed:,}", "yellow" if load.failed else ""),
    ]


def _conditions(profile: LoadProfile, seconds: float) -> str:
    wait = profile.wait
    waiting = "without a pause" if wait == (0, 0) else f"pausing {wait[0]:g} to {wait[1]:g} s"
    return (
        f"{profile.users} users {waiting}, {seconds:g} s for each row, on {os.cpu_count()} cores that the load "
        "generator, nginx, the nodes and the store share."
    )


def _is_saturated(one: CellResult) -> bool:
    return one.load is not None and one.load.generator_cpu > SATURATED


def make_record(results: Sequence[CellResult], profile: LoadProfile, seconds: float) -> dict[str, Any]:
    """Return all figures for JSON. `version` rises when a field changes its meaning; CPU and latencies are in ms."""
    return {
        "version": FORMAT,
        "plan": record_profile(profile, seconds),
        "cores": os.cpu_count(),
        "rows": [_record_cell(one) for one in results],
    }


def _record_cell(one: CellResult) -> dict[str, Any]:
    cell = one.cell
    described: dict[str, Any] = {
        "node": cell.node.value,
        "store": cell.store.value,
        "balancing": cell.balance.value if cell.balance else None,
        "nodes": cell.nodes,
    }
    if one.load is None or one.cost is None:
        return {**described, "error": one.error}
    return {
        **described,
        "requests_per_second": round(one.load.rate, 2),
        "cpu_ms": one.cost.cpu,
        "store_commands": one.cost.commands,
        "store_operations": one.cost.operations,
        "store_reads": one.cost.reads,
        "load": record_figures(LOAD, one.load),
    }
