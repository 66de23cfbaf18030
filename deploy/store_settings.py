"""How the Redis or Valkey of a cluster is run, and what the nodes ask of it."""

from dataclasses import dataclass

from deploy.errors import ClusterError
from nodes.sessions import Durability, Outage

REPLICAS = 1
"""How many replicas have to have what `durability` waits for: of two, one may be gone."""


@dataclass(frozen=True, kw_only=True)
class StoreSettings:
    """Raises ClusterError for the first value that cannot be used. Times are in seconds.

    What speaks of replicas is for stores of several servers; the others have none.
    """

    min_replicas_to_write: int | None = None
    """With fewer replicas in touch a primary refuses writes: the guard against what is lost when one that was cut off
    goes on writing. 0: no guard. None: 1 where a primary has two replicas; 0 in a Redis Cluster, where it has one, so
    that the guard would refuse all writes from a failover until the old primary is back."""
    max_lag: int = 2
    """How long ago a replica may have been heard of (whole seconds) to count as in touch; it speaks once a second."""
    down_after: float = 1.0
    """How long a server may be silent until the others look for another primary (down-after-milliseconds of the
    Sentinels, cluster-node-timeout of a Redis Cluster)."""
    durability: Durability = Durability.PRIMARY
    """What the nodes wait for before a write counts."""
    outage: Outage = Outage.FAIL_FAST
    """What the nodes do while there is no primary."""
    append_only: bool = False
    """Whether each server writes a log of all writes to disk every second, and has them again after a restart."""
    max_memory: str = "256mb"
    """When a server is full: it refuses writes then."""

    def __post_init__(self) -> None:
        if self.min_replicas_to_write is not None and not 0 <= self.min_replicas_to_write <= 2:
            raise ClusterError(f"min_replicas_to_write {self.min_replicas_to_write} cannot be: there are 2 replicas")
        if not 1 <= self.max_lag <= 3600:
            raise ClusterError(f"max_lag {self.max_lag} s cannot be: choose 1 to 3600")
        if not 0.2 <= self.down_after <= 3600:
            raise ClusterError(f"down_after {self.down_after:g} s cannot be: choose 0.2 to 3600")

    def guard(self, replicas: int) -> int:
        """How many replicas in touch a primary with so many needs to write."""
        if self.min_replicas_to_write is None:
            return 1 if replicas > 1 else 0
        return self.min_replicas_to_write

    def node_environment(self, has_replicas: bool) -> dict[str, str]:
        """What the nodes are told of it."""
        told = {"STORE_OUTAGE": self.outage.value}
        if has_replicas:
            told |= {"STORE_DURABILITY": self.durability.value, "STORE_REPLICAS": str(REPLICAS)}
        return told
