"""The machine for a test alone, where several processes share the tests of a tier."""

import fcntl
import os
from pathlib import Path

from deploy import Cluster, ClusterSpec
from loadtest.suite import MakeCluster

_FILE = os.open(__file__, os.O_RDONLY)
_TURN = os.open(Path(__file__).parent, os.O_RDONLY)
"""Held by the test that waits next: those that share the machine would otherwise keep one that takes it waiting."""


def share_machine() -> None:
    """Wait until no test has the machine alone, or waits for that."""
    _lock(fcntl.LOCK_EX, _TURN)
    _lock(fcntl.LOCK_SH)
    _lock(fcntl.LOCK_UN, _TURN)


def take_machine() -> None:
    """Wait until no other test runs, and let none begin. A test that shares the machine gives it up while it waits, so
    two tests never wait for each other."""
    _lock(fcntl.LOCK_UN)
    _lock(fcntl.LOCK_EX, _TURN)
    _lock(fcntl.LOCK_EX)
    _lock(fcntl.LOCK_UN, _TURN)


def leave_machine() -> None:
    _lock(fcntl.LOCK_UN)  # closing is not enough: a process that the test forked may have it, too


def alone_under_load(make: MakeCluster) -> MakeCluster:
    """Make clusters that have the machine alone once they have started, and share it again to stop."""

    def make_cluster(spec: ClusterSpec) -> Cluster:
        cluster = make(spec)
        start, stop = cluster.start, cluster.stop

        def start_and_take() -> None:
            start()
            take_machine()

        def share_and_stop() -> None:
            _lock(fcntl.LOCK_SH)  # without a turn: the one whose turn it is waits for this cluster
            stop()

        for name, method in (("start", start_and_take), ("stop", share_and_stop)):
            setattr(cluster, name, method)
        return cluster

    return make_cluster


def _lock(how: int, file: int = _FILE) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        fcntl.flock(file, how)
