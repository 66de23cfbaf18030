"""Faults: small objects that are applied to a cluster and undone."""

from loadtest.faults.changes import reload, rolling_deploy, rolling_restart, scale
from loadtest.faults.fault import NOTHING, Fault, fault_sequence, restore
from loadtest.faults.members import kill, move, pause
from loadtest.faults.network import BLACKHOLE, STORE_DOWN, cuts, latency
from loadtest.faults.processes import ONE_CORE, kill_workers
from loadtest.faults.store import DISCONNECT_REPLICAS, FAILOVER, FILL_STORE, KILL_PRIMARY, pause_primary

__all__ = [
    "BLACKHOLE",
    "DISCONNECT_REPLICAS",
    "FAILOVER",
    "FILL_STORE",
    "KILL_PRIMARY",
    "NOTHING",
    "ONE_CORE",
    "STORE_DOWN",
    "Fault",
    "cuts",
    "fault_sequence",
    "kill",
    "kill_workers",
    "latency",
    "move",
    "pause",
    "pause_primary",
    "reload",
    "restore",
    "rolling_deploy",
    "rolling_restart",
    "scale",
]
