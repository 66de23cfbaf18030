"""Faults: small objects that are applied to a cluster and undone."""

from loadtest.faults.changes import reload, rolling_deploy, rolling_restart, scale
from loadtest.faults.fault import NOTHING, Ability, Fault, Need, fault_sequence, restore
from loadtest.faults.machines import (
    ROLL_OUT,
    ROLL_OUT_BROKEN,
    cut_off_machine,
    drain_machine,
    kill_machine,
    lose_quorum,
)
from loadtest.faults.members import KILL_STORE, PAUSE_STORE, kill, move, pause
from loadtest.faults.network import BLACKHOLE, STORE_DOWN, bad_answers, cut_off_primary, cuts, latency
from loadtest.faults.store import (
    DISCONNECT_REPLICAS,
    FAILOVER,
    FILL_DISK,
    FILL_STORE,
    KILL_PRIMARY,
    fill_store_to,
    pause_primary,
)
from loadtest.faults.within_members import KILL_PROXY_WORKER, ONE_CORE, kill_workers

__all__ = [
    "BLACKHOLE",
    "DISCONNECT_REPLICAS",
    "FAILOVER",
    "FILL_DISK",
    "FILL_STORE",
    "KILL_PRIMARY",
    "KILL_PROXY_WORKER",
    "KILL_STORE",
    "NOTHING",
    "ONE_CORE",
    "PAUSE_STORE",
    "ROLL_OUT",
    "ROLL_OUT_BROKEN",
    "STORE_DOWN",
    "Ability",
    "Fault",
    "Need",
    "bad_answers",
    "cut_off_machine",
    "cut_off_primary",
    "cuts",
    "drain_machine",
    "fault_sequence",
    "fill_store_to",
    "kill",
    "kill_machine",
    "kill_workers",
    "latency",
    "lose_quorum",
    "move",
    "pause",
    "pause_primary",
    "reload",
    "restore",
    "rolling_deploy",
    "rolling_restart",
    "scale",
]
