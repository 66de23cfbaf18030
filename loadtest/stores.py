"""Every store that a cluster can have, for experiments that hold for all of them."""

from dataclasses import dataclass, replace

from deploy import ClusterSpec, Database, StoreKind
from loadtest.experiment import cluster
from loadtest.results import Place


@dataclass(frozen=True)
class Store:
    kind: StoreKind
    database: Database = Database.SQLITE

    @property
    def name(self) -> str:
        return str(self.kind if self.database is Database.SQLITE else self.database)

    @property
    def places(self) -> frozenset[Place]:
        """Where it is to be had."""
        return frozenset(Place if self.database is Database.SQLITE else {Place.COMPOSE})

    def cluster(self) -> ClusterSpec:
        """Of as many nodes as can share it: memory is shared within one process alone."""
        return cluster(1 if self.kind is StoreKind.MEMORY else 3, self.kind, database=self.database)

    def linked_cluster(self) -> ClusterSpec:
        """The same, with a link to the store where there can be one."""
        spec = self.cluster()
        return replace(spec, store_proxy=spec.has_single_server)


EVERY_STORE = (
    *(Store(kind) for kind in StoreKind),
    *(Store(StoreKind.SQL, database) for database in Database if database is not Database.SQLITE),
)
