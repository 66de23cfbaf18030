"""What can be done to a cluster, as small objects that are applied and undone. A new one touches one file."""

from loadtest.failover.faults.changes import Reload, RollingDeploy, RollingRestart, Scale
from loadtest.failover.faults.fault import Fault, InTurn, Nothing, mend
from loadtest.failover.faults.members import Drain, Kill, Move, Pause, Stop
from loadtest.failover.faults.network import Cut, Silence, Slow
from loadtest.failover.faults.replicas import CutReplicas, FailOver, KillPrimary
from loadtest.failover.faults.store import Fill

__all__ = [
    "Cut",
    "CutReplicas",
    "Drain",
    "FailOver",
    "Fault",
    "Fill",
    "InTurn",
    "Kill",
    "KillPrimary",
    "Move",
    "Nothing",
    "Pause",
    "Reload",
    "RollingDeploy",
    "RollingRestart",
    "Scale",
    "Silence",
    "Slow",
    "Stop",
    "mend",
]
