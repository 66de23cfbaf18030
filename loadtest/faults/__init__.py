"""What can be done to a cluster, as small objects that are applied and undone. A new one touches one file."""

from loadtest.faults.changes import Reload, RollingDeploy, RollingRestart, Scale
from loadtest.faults.fault import NOTHING, Fault, FaultSequence, Nothing, restore
from loadtest.faults.members import Drain, Kill, Move, Pause, Stop
from loadtest.faults.network import Blackhole, Latency, StoreDown
from loadtest.faults.store import DisconnectReplicas, Failover, FillStore, KillPrimary

__all__ = [
    "NOTHING",
    "Blackhole",
    "DisconnectReplicas",
    "Drain",
    "Failover",
    "Fault",
    "FaultSequence",
    "FillStore",
    "Kill",
    "KillPrimary",
    "Latency",
    "Move",
    "Nothing",
    "Pause",
    "Reload",
    "RollingDeploy",
    "RollingRestart",
    "Scale",
    "Stop",
    "StoreDown",
    "restore",
]
