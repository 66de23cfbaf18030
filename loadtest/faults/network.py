"""Faults of the network between the nodes and the store; the cluster's spec has to ask for a `store_proxy`."""

from deploy import Cluster
from loadtest.faults.fault import Fault


def _reset(cluster: Cluster) -> None:
    cluster.store.proxy.reset()


def latency(seconds: float) -> Fault:
    """A delay of every answer of the store."""
    return Fault(
        what=f"slow the store down by {seconds * 1000:g} ms",
        apply=lambda cluster: cluster.store.proxy.latency(seconds),
        undo=_reset,
    )


def bad_answers(answers: str) -> Fault:
    """Answers of the store, a Redis, as `deploy.tcp_proxy` breaks them."""
    return Fault(
        what=f"break the answers of the store ({answers})",
        apply=lambda cluster: cluster.store.proxy.answers(answers),
        undo=_reset,
    )


BLACKHOLE = Fault(
    what="silence the network to the store", apply=lambda cluster: cluster.store.proxy.blackhole(), undo=_reset
)
"""Let no byte pass to the store; connections stay open, and new ones are accepted."""

STORE_DOWN = Fault(what="cut the network to the store", apply=lambda cluster: cluster.store.proxy.down(), undo=_reset)
"""Refuse all connections to the store, which keeps its data."""
