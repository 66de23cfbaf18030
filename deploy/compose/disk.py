"""Fill and free the file system of the sessions of a cluster in containers."""

from deploy.cluster import MemberState
from deploy.compose.docker import Container, Project
from deploy.spec import ClusterError, ClusterSpec, StoreKind
from deploy.store_control import BaseStoreControl

_FOLDER = "/cluster/sessions"
# SQLite goes on writing within its log file, up to 4 MB. A short one shows at once that the disk is full.
_SHORTEN_LOG = f"""
import sqlite3
sqlite3.connect("{_FOLDER}/sessions.db", timeout=5).execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
"""
_NO_ROOM = "No space left on device"


class DiskControl(BaseStoreControl):
    """A `deploy.StoreControl` of sessions in files. A node fills their file system with a file of zeros."""

    def __init__(self, project: Project, spec: ClusterSpec) -> None:
        super().__init__(spec.store)
        self._project = project

    def fill_disk(self) -> None:
        if self.kind is StoreKind.SQL:
            self._run("python", "-c", _SHORTEN_LOG)
        output = self._run("sh", "-c", f"cat /dev/zero 2>&1 >>{_FOLDER}/filler || true")
        if _NO_ROOM not in output:
            raise ClusterError(f"the disk of the sessions is not full: {output.strip()}")

    def free_disk(self) -> None:
        self._run("rm", "-f", f"{_FOLDER}/filler")

    def _run(self, *command: str) -> str:
        return self._project.docker("exec", self._node().id, *command)

    def _node(self) -> Container:
        for container in self._project.containers("node"):
            if container.state is MemberState.RUNNING:
                return container
        raise ClusterError("no node runs that could reach the disk of the sessions: restart one first")
