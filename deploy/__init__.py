"""Clusters: their description (`ClusterSpec`), the protocol to control them (`Cluster`), and where they run.

`LocalCluster` is processes of this machine, `ComposeCluster` containers, `SwarmCluster` containers on several machines.
"""

from deploy.cluster import Cluster, MachineControl, Member, MemberState, Role, StoreControl, StoreStatistics
from deploy.compose.cluster import ComposeCluster
from deploy.fault_proxy import FaultProxy
from deploy.local.cluster import LocalCluster
from deploy.local.servers import NodeApplication
from deploy.spec import ClusterError, ClusterSpec, Database, Discovery, NodeKind, StoreKind, StoreSettings
from deploy.swarm.cluster import SwarmCluster

__all__ = [
    "Cluster",
    "ClusterError",
    "ClusterSpec",
    "ComposeCluster",
    "Database",
    "Discovery",
    "FaultProxy",
    "LocalCluster",
    "MachineControl",
    "Member",
    "MemberState",
    "NodeApplication",
    "NodeKind",
    "Role",
    "StoreControl",
    "StoreKind",
    "StoreSettings",
    "StoreStatistics",
    "SwarmCluster",
]
