"""Many small clusters under the same load, one after another: stores, balancing policies, numbers of nodes."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from deploy import ClusterError, ClusterSpec, LocalCluster, NodeKind, StoreKind
from loadtest.figures import Figures
from loadtest.load.cost import Cost, Spent, cost, spent
from loadtest.load.plan import Plan
from loadtest.load.run import measure
from loadtest.load.target import of_cluster
from loadtest.old_generator import Generator, GeneratorError
from loadtest.progress import Status, Watch
from proxy import Balance

SECONDS_AROUND = 5.0
"""What a cell takes beside measuring: the generator and the cluster start, all users log in, all of it stops."""

MakeCluster = Callable[[ClusterSpec], LocalCluster]


@dataclass(frozen=True)
class Cell:
    """One cluster. A lone node is the same under every policy, so it is measured once: `balance` is None."""

    node: NodeKind
    store: StoreKind
    balance: Balance | None
    nodes: int

    @property
    def spec(self) -> ClusterSpec:
        balance = self.balance or Balance.ROUND_ROBIN
        # All users come from one address, so the proxy's limit on logins per address would be theirs together.
        proxy = {"login_rate": None}
        return ClusterSpec(node=self.node, store=self.store, balance=balance, nodes=self.nodes, proxy=proxy)

    @property
    def name(self) -> str:
        nodes = "1 node" if self.nodes == 1 else f"{self.nodes} nodes, {self.balance}"
        return f"{self.store}, {nodes}"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What came of one cell; `error` is why nothing did."""

    cell: Cell
    load: Figures | None = None
    cost: Cost | None = None
    error: str = ""


def cells(
    node: NodeKind, stores: Iterable[StoreKind], balances: Iterable[Balance], nodes: Iterable[int]
) -> tuple[Cell, ...]:
    """All combinations, by store, policy and number of nodes. Raises ClusterError for one that cannot be."""
    sizes, policies = sorted(set(nodes)), tuple(dict.fromkeys(balances))
    found = []
    for store in dict.fromkeys(stores):
        found += [Cell(node, store, None, 1)] if 1 in sizes else []
        found += [Cell(node, store, balance, size) for balance in policies for size in sizes if size > 1]
    for cell in found:
        assert cell.spec  # which checks itself
    return tuple(found)


def seconds(count: int, plan: Plan) -> float:
    """About how long so many cells take."""
    return count * (SECONDS_AROUND + plan.users / plan.spawn_rate + plan.seconds)


def run(chosen: tuple[Cell, ...], plan: Plan, make_cluster: MakeCluster, watch: Watch) -> Iterator[Measured]:
    """Measure one cell after another. A cell that fails says so and does not end the others."""
    for number, cell in enumerate(chosen, 1):
        status = Status(cell.name, number, len(chosen))
        status.over = time.monotonic() + seconds(len(chosen) - number + 1, plan)
        watch(status)
        try:
            yield _measure(cell, plan, make_cluster, status, watch)
        except (ClusterError, GeneratorError) as error:
            yield Measured(cell=cell, error=str(error))


def _measure(cell: Cell, plan: Plan, make_cluster: MakeCluster, status: Status, watch: Watch) -> Measured:
    moments: list[Spent] = []
    with Generator() as generator:
        cluster = make_cluster(cell.spec)
        with of_cluster(cluster) as target:
            _, load = measure(plan, target, generator, None, status, watch, lambda: moments.append(spent(cluster)))
    before, after = moments
    return Measured(cell=cell, load=load, cost=cost(before, after, load.requests))
