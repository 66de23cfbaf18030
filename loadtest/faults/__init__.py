"""What can be done to a cluster, as small objects that are applied and undone. A new one touches one file."""

from loadtest.faults.changes import Reload, RollingDeploy, RollingRestart, Scale
from loadtest.faults.fault import Fault, InTurn, Nothing, mend
from loadtest.faults.members import Drain, Kill, Move, Pause, Stop
from loadtest.faults.network import Cut, Silence, Slow
from loadtest.faults.store import CutReplicas, FailOver, Fill, KillPrimary

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
