"""The runtime that a target's file names."""

from loadtest.described.commands import CommandsCluster
from loadtest.described.compose import ServicesCluster
from loadtest.described.description import TargetDescription
from loadtest.described.processes import ProcessesCluster
from loadtest.described.runtime import DescribedCluster
from loadtest.described.schema import RuntimeKind

_KINDS: dict[RuntimeKind, type[DescribedCluster]] = {
    RuntimeKind.COMPOSE: ServicesCluster,
    RuntimeKind.PROCESSES: ProcessesCluster,
    RuntimeKind.COMMANDS: CommandsCluster,
}


def make_cluster(description: TargetDescription) -> DescribedCluster | None:
    """Return the cluster of a target; None if its file has no runtime. Raises ClusterError."""
    runtime = description.file.runtime
    return None if runtime is None else _KINDS[runtime.kind](description)
