"""An experiment is data: a hypothesis, clusters, the faults applied to them under load, and the claims.

A scene of the demo and a load test are experiments too. The experiments of `session-cluster failover` are files of
their own in `loadtest/experiments`, the scenes are in `loadtest/demo.py`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from deploy import ClusterSpec, Database, Discovery, NodeKind, StoreKind
from deploy.spec import ONE_ADDRESS
from loadtest.checker.phases import DURING
from loadtest.claims.claim import Claim
from loadtest.faults import NOTHING, Fault, latency
from loadtest.load_profile import Arrivals, Mix
from proxy import Balance

ARRIVAL, BEFORE, AFTER = "arriving", "before", "after"
_MOST_FAULTS = 100
"""Faults of a case that its description names."""
MIN_DURING = 3.5
"""Minimum duration of a fault in seconds, also in the short form: claims need the data."""


class Place(StrEnum):
    """Environment that a cluster runs in."""

    LOCAL = "local"
    """Processes of this machine."""
    COMPOSE = "compose"
    """Containers."""
    SWARM = "swarm"
    """Containers on several machines, under Docker Swarm."""
    TARGET = "target"
    """A system of its own, which a file describes."""


ON_ONE_MACHINE = frozenset({Place.LOCAL, Place.COMPOSE})
ON_SWARM = frozenset({Place.SWARM})


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase:
    """A part of a run with figures of its own: first its fault, then `seconds` under load.

    `words` are for the progress line, `nodes` (the number that serve) for the demo's table. `arrivals` come beside the
    users for as long as the phase takes. With `undo` the fault is
    undone at the end of the phase; without it the cluster stays as it is. `claims` are about this phase alone; where
    they need more data, the phase takes longer.
    """

    name: str
    seconds: float
    words: str = ""
    nodes: int = 0
    fault: Fault = NOTHING
    arrivals: Arrivals | None = None
    undo: bool = False
    measured: bool = False
    """Whether what each process uses is measured at its end."""
    min_seconds: float = 0.0
    claims: tuple[Claim, ...] = ()
    later_claims: tuple[Claim, ...] = ()
    """Claims about the whole run that need data of this phase."""

    @property
    def min_requests(self) -> int:
        """Requests of logged-in users that all of these claims need."""
        return max((claim.min_requests for claim in (*self.claims, *self.later_claims)), default=0)

    def scaled(self, share: float) -> "Phase":
        """Return the phase with `share` of its duration, and not less than `min_seconds`."""
        seconds = max(self.seconds * share, min(self.seconds, self.min_seconds))
        return self if seconds == self.seconds else replace(self, seconds=seconds)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A cluster, the fault, and the claims.

    `name` is empty where an experiment has one variant only; `title` follows the experiment's. `hypothesis` is what it
    predicts for this variant, where variants differ. `phases` replaces the usual ones: before, during the fault, after
    its undo. `places`: where such a cluster can run.
    """

    spec: ClusterSpec
    fault: Fault = NOTHING
    claims: tuple[Claim, ...] = ()
    phases: tuple[Phase, ...] = ()
    arrival: tuple[Claim, ...] = ()
    name: str = ""
    title: str = ""
    hypothesis: str = ""
    reference: str = ""
    places: frozenset[Place] = ON_ONE_MACHINE


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A hypothesis and how to refute it.

    `before`, `during` and `after` are seconds: before the fault, from the applied fault to its undo, and after the
    undo. `reference` is the best known figure, for comparison; a variant may have its own. `users` replaces the number
    of the command, where each user has several tabs; `weights` are those of `LoadProfile`. `nodes`: the kinds of nodes
    that it runs on, with equal claims.
    """

    number: int
    name: str
    title: str
    hypothesis: str
    variants: tuple[Variant, ...]
    reference: str = ""
    before: float = 3.0
    during: float = 6.0
    after: float = 3.0
    mix: Mix = Mix.BROWSERS
    weights: Mapping[str, int] = field(default_factory=dict)
    users: int | None = None
    ends_at_loss: bool = False
    """Whether a run ends after the first phase in which something was lost, or from which it did not recover."""
    operations: int = 0
    """The number after which a run passes over all phases but the last; 0: it passes over none."""
    kept_history: int | None = None
    """Bytes of each part of the history that are kept, the newest; None: all."""
    nodes: frozenset[NodeKind] = frozenset({NodeKind.FLASK})

    @property
    def places(self) -> tuple[Place, ...]:
        """The places where at least one variant can run."""
        return tuple(place for place in Place if any(place in variant.places for variant in self.variants))


@dataclass(frozen=True)
class Case:
    """One variant of one experiment, on one kind of node, in one place; or on the target of this name."""

    experiment: Experiment
    variant: Variant
    node: NodeKind = NodeKind.FLASK
    place: Place = Place.LOCAL
    target: str = ""

    @property
    def spec(self) -> ClusterSpec:
        """The variant's cluster with these nodes. Raises ClusterError where it cannot have them."""
        return replace(self.variant.spec, node=self.node)

    @property
    def mix(self) -> Mix:
        """The load. Other applications and earlier versions get it without tabs, because they lose sessions there (25),
        whatever the fault does."""
        mix = self.experiment.mix
        is_other = self.target or self.node is not NodeKind.FLASK or self.variant.spec.revision
        return Mix.EVERYDAY if mix is Mix.BROWSERS and is_other else mix

    @property
    def phases(self) -> tuple[Phase, ...]:
        experiment, fault = self.experiment, self.variant.fault
        later_claims = tuple(claim for claim in self.variant.claims if claim.phase == DURING)
        if self.variant.phases:
            return self.variant.phases
        before = Phase(name=BEFORE, seconds=experiment.before, words="steady")
        if not fault.seconds:  # then there is nothing to recover from
            return before, Phase(
                name=DURING, seconds=experiment.during, words="watch", min_seconds=MIN_DURING, later_claims=later_claims
            )
        return (
            before,
            Phase(
                name=DURING,
                seconds=experiment.during,
                words="watch",
                fault=fault,
                undo=True,
                min_seconds=MIN_DURING,
                later_claims=later_claims,
            ),
            Phase(name=AFTER, seconds=experiment.after, words="steady again"),
        )

    @property
    def fault(self) -> str:
        """The faults of all phases, in words."""
        faults = [phase.fault.what for phase in self.phases if phase.fault.seconds]
        if (more := len(faults) - _MOST_FAULTS) > 0:
            faults[_MOST_FAULTS:] = [f"{more:,} more"]
        return ", then ".join(faults) or self.variant.fault.what

    @property
    def name(self) -> str:
        """ "kill-node", "kill-node.express", "replicas-cut.guarded.compose": also that of its folder."""
        return make_case_name(self.experiment.name, self.variant.name, self.target or self.node, self.place)

    @property
    def title(self) -> str:
        """The title for every kind of node and every place."""
        return ", ".join(filter(None, (self.experiment.title, self.variant.title)))

    @property
    def heading(self) -> str:
        """The title, with the kind of node and the place unless they are the usual ones."""
        return make_heading(self.title, self.target or self.node, self.place)

    @property
    def reference(self) -> str:
        return self.variant.reference or self.experiment.reference


def make_case_name(name: str, variant: str, node: str = NodeKind.FLASK, place: Place = Place.LOCAL) -> str:
    """Return the folder of all runs of one case."""
    return ".".join(filter(None, (name, variant, *map(_slug, _unusual(node, place)))))


def make_heading(title: str, node: str, place: Place) -> str:
    """Return a title with the kind of node and the place unless they are the usual ones."""
    more = ", ".join(_unusual(node, place))
    return f"{title} ({more})" if more else title


def _unusual(node: str, place: Place) -> list[str]:
    named = {Place.LOCAL, Place.TARGET}  # a target has a name of its own
    return [*([] if node == NodeKind.FLASK else [node]), *([] if place in named else [str(place)])]


def _slug(name: str) -> str:
    """Return a name as a part of a folder's name: "django-sessions-in-the-cache"."""
    return re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-") or "target"


def cluster(
    nodes: int,
    store: StoreKind,
    balance: Balance = Balance.ROUND_ROBIN,
    proxy: Mapping[str, Any] | None = None,
    node_settings: Mapping[str, str] | None = None,
    **more: Any,
) -> ClusterSpec:
    """Return a spec without limits on logins and new sessions per address, since all users come from one."""
    return ClusterSpec(
        nodes=nodes,
        store=store,
        balance=balance,
        proxy={"login_rate": None, **(proxy or {})},
        node_settings={**ONE_ADDRESS, **(node_settings or {})},
        **more,
    )


def swarm_cluster(nodes: int) -> ClusterSpec:
    """Return a spec for several machines, whose nodes Swarm starts, moves and ends by itself.

    Machines that share the cores of this one take long for what is quick between real ones, so the budgets of the store
    are wide: these experiments are not about them.
    """
    budgets = {"STORE_CONNECT_TIMEOUT": "1", "STORE_READ_TIMEOUT": "1", "STORE_DEADLINE": "3"}
    return cluster(
        nodes, StoreKind.REDIS, discovery=Discovery.DNS, start_timeout=300.0, drain_timeout=12.0, node_settings=budgets
    )


def make_accounts(users: int) -> tuple[str, ...]:
    """Return the names of accounts for `Mix.TABS`: one for each user, and one for the prober."""
    return (*(f"user-{number}" for number in range(1, users + 1)), "prober")


EVERY_STORE = (
    *((kind, Database.SQLITE) for kind in StoreKind),
    *((StoreKind.SQL, database) for database in Database if database is not Database.SQLITE),
)


def make_variants(claims: tuple[Claim, ...], delay: float = 0.0) -> tuple[Variant, ...]:
    """Return a variant for each store. Answers of a store with one server come `delay` seconds later."""
    return tuple(_make_variant(store, database, claims, delay) for store, database in EVERY_STORE)


def _make_variant(store: StoreKind, database: Database, claims: tuple[Claim, ...], delay: float) -> Variant:
    nodes = 1 if store is StoreKind.MEMORY else 3  # memory is shared within one process alone
    spec = cluster(nodes, store, database=database)
    if delay and spec.has_single_server:
        spec = replace(spec, store_proxy=True)
    server = spec.database_server  # which local clusters do not have
    return Variant(
        name=server.name if server else str(store),
        title=server.title if server else str(store),
        spec=spec,
        fault=latency(delay) if spec.store_proxy else NOTHING,
        claims=claims,
        places=frozenset({Place.COMPOSE}) if server else ON_ONE_MACHINE,
    )
