"""Faults of the network between the nodes and the store; the cluster's spec has to ask for a `store_proxy`."""

import time

from deploy import Cluster, Role
from loadtest.faults.fault import Ability, Fault, Need
from loadtest.faults.members import KILL_STORE, PAUSE_STORE

_NEEDS = (Need(Ability.STORE_PROXY),)


def _reset(cluster: Cluster) -> None:
    cluster.store.proxy.reset()


def latency(seconds: float) -> Fault:
    """A delay of every answer of the store."""
    return Fault(
        what=f"slow the store down by {seconds * 1000:g} ms",
        apply=lambda cluster: cluster.store.proxy.latency(seconds),
        undo=_reset,
        needs=_NEEDS,
    )


def cuts(times: int, every: float, delay: float) -> Fault:
    """Return cuts of all connections to the store, each `every` seconds after the one before; it answers at once again.

    Between them its answers come `delay` seconds late, so that a cut meets requests after any of their round trips.
    """

    def apply(cluster: Cluster) -> None:
        for _ in range(times):
            cluster.store.proxy.down()
            cluster.store.proxy.latency(delay)
            time.sleep(every)

    what = f"cut the network to the store {times} times"
    return Fault(what=what, seconds=times * every, apply=apply, undo=_reset, needs=_NEEDS)


def bad_answers(answers: str) -> Fault:
    """Answers of the store, a Redis, as `deploy.tcp_proxy` breaks them."""
    return Fault(
        what=f"break the answers of the store ({answers})",
        apply=lambda cluster: cluster.store.proxy.answers(answers),
        undo=_reset,
        needs=_NEEDS,
    )


BLACKHOLE = Fault(
    what="silence the network to the store",
    apply=lambda cluster: cluster.store.proxy.blackhole(),
    undo=_reset,
    needs=_NEEDS,
)
"""Let no byte pass to the store; connections stay open, and new ones are accepted."""

STORE_DOWN = Fault(
    what="cut the network to the store",
    apply=lambda cluster: cluster.store.proxy.down(),
    undo=_reset,
    needs=_NEEDS,
    instead=(PAUSE_STORE, KILL_STORE),
)
"""Refuse all connections to the store, which keeps its data."""


def cut_off_primary(seconds: float, user: str = "") -> Fault:
    """Cut the primary off from nodes, replicas and Sentinels for `seconds`.

    With `user`, only from those who log in as this user of the servers.
    """

    def apply(cluster: Cluster) -> None:
        proxy = cluster.store.proxy_of(cluster.store.primary())
        proxy.blackhole(user)
        time.sleep(seconds)
        proxy.reset()

    def undo(cluster: Cluster) -> None:
        for member in cluster.members():
            if member.role is Role.STORE:
                cluster.store.proxy_of(member.name).reset()

    needs = (*_NEEDS, Need(Ability.STORE_SERVERS))
    return Fault(what=f"cut the primary off for {seconds:g} s", seconds=seconds, apply=apply, undo=undo, needs=needs)
