"""The code of an earlier commit, for nodes that a deployment replaces. It comes from the history of the checkout."""

import io
import subprocess
import tarfile
import tempfile
from pathlib import Path

from deploy.local.processes import python_path
from deploy.spec import ClusterError

EARLIER = "01db56e"
"""The last version before 0.2, whose records are read and whose costs are compared."""


def extract_nodes(revision: str, folder: Path) -> Path:
    """Write the package `nodes` of a commit below a folder, and return the folder.

    Raises ClusterError where the commit is missing: in an installed package and in a shallow clone.
    """
    roots = python_path()
    if not roots:
        raise ClusterError(f"the nodes of {revision} need the checkout: run it from a clone of the repository")
    try:
        archive = subprocess.run(["git", "archive", revision, "nodes"], cwd=roots[0], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ClusterError(
            f"the nodes of {revision} need the history of the checkout: {_describe(error)}; git fetch --unshallow"
        ) from error
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder


def find_lack(revision: str) -> str | None:
    """Return why the nodes of a commit can't be extracted; None where they can."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            extract_nodes(revision, Path(folder))
        except ClusterError as error:
            return str(error)
    return None


def _describe(error: OSError | subprocess.CalledProcessError) -> str:
    if isinstance(error, OSError):
        return f"git: {error.strerror}"
    return str(error.stderr, errors="replace").strip().partition("\n")[0]
