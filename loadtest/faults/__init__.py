"""Faults: small objects that are applied to a cluster and undone."""

from loadtest.faults.changes import Reload, RollingDeploy, RollingRestart, Scale
from loadtest.faults.fault import NOTHING, Fault, FaultSequence, restore
from loadtest.faults.members import Kill, Move, Pause
from loadtest.faults.network import Blackhole, Latency, StoreDown
from loadtest.faults.store import DisconnectReplicas, Failover, FillStore, KillPrimary

__all__ = [
    "NOTHING",
    "Blackhole",
    "DisconnectReplicas",
    "Failover",
    "Fault",
    "FaultSequence",
    "FillStore",
    "Kill",
    "KillPrimary",
    "Latency",
    "Move",
    "Pause",
    "Reload",
    "RollingDeploy",
    "RollingRestart",
    "Scale",
    "StoreDown",
    "restore",
]
