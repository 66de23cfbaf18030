"""What an experiment is: data, in a file of its own under `loadtest/experiments`."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from deploy import ClusterSpec, NodeKind, StoreKind
from loadtest.claims import Claim
from loadtest.faults import Fault
from loadtest.protocol import Mix
from loadtest.results import Place, case_folder, heading
from proxy import Balance


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One run of an experiment: a cluster, what is done to it, and what must hold then.

    `name` is empty where there is one only; `title` is what people read behind the experiment's.
    """

    spec: ClusterSpec
    fault: Fault
    claims: tuple[Claim, ...]
    name: str = ""
    title: str = ""
    reference: str = ""
    places: frozenset[Place] = frozenset(Place)
    """Where there can be such a cluster."""


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A hypothesis and how to refute it.

    `before`, `during` and `after` are seconds: under load and well, from the fault (once it is applied) to its undo,
    and well again. `reference` is the best known figure, for people to compare with; where variants differ, it is
    theirs.
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
    mix: Mix = Mix.EVERYDAY
    users: int | None = None
    """So many, whatever is asked for: where each of them is several at once."""
    nodes: frozenset[NodeKind] = frozenset({NodeKind.FLASK})
    """Whose nodes it makes sense for; the claims are the same for all of them."""

    @property
    def places(self) -> tuple[Place, ...]:
        """Where any of its variants can be run."""
        return tuple(place for place in Place if any(place in variant.places for variant in self.variants))


@dataclass(frozen=True)
class Case:
    """One variant of one experiment, whose nodes, and where: what is run."""

    experiment: Experiment
    variant: Variant
    node: NodeKind = NodeKind.FLASK
    place: Place = Place.LOCAL

    @property
    def spec(self) -> ClusterSpec:
        """Raises ClusterError where such nodes cannot be in the variant's cluster."""
        return replace(self.variant.spec, node=self.node)

    @property
    def name(self) -> str:
        """ "kill-node", "kill-node.express", "replicas-cut.guarded.compose": also that of its folder."""
        return case_folder(self.experiment.name, self.variant.name, self.node, self.place)

    @property
    def title(self) -> str:
        """The same whoever's nodes they are."""
        return ", ".join(filter(None, (self.experiment.title, self.variant.title)))

    @property
    def heading(self) -> str:
        """The title, with whose nodes and where."""
        return heading(self.title, self.node, self.place)

    @property
    def reference(self) -> str:
        return self.variant.reference or self.experiment.reference


def cluster(
    nodes: int,
    store: StoreKind,
    balance: Balance = Balance.ROUND_ROBIN,
    proxy: Mapping[str, Any] | None = None,
    **more: Any,
) -> ClusterSpec:
    """A spec for an experiment. All users come from one address, so the proxy's limit on logins is off."""
    return ClusterSpec(nodes=nodes, store=store, balance=balance, proxy={"login_rate": None, **(proxy or {})}, **more)
