"""The one directory of a local cluster: secrets, logs, what the proxy needs, and cluster.json for other tools."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from deploy.cluster import Member
from deploy.errors import ClusterError

DESCRIPTION = "cluster.json"
_LOCK = "lock"


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """What cluster.json says."""

    url: str
    pid: int
    """Of the command that runs the cluster, and ends it on SIGTERM."""
    node: str
    store: str
    balance: str
    session_cookie: str
    """Its name: with sessions in each node's memory, a load test sees by it whether a write found the session."""
    users: Mapping[str, str]
    """Name -> password."""
    password: str
    """The one that all of them share."""
    processes: Sequence[Member]


class StateDir:
    """Mode 0700, locked against a second cluster. None for `path` makes a temporary one, which goes with the cluster.

    Raises ClusterError where it cannot be written, is used by a cluster that runs, or holds something else.
    """

    def __init__(self, path: Path | None) -> None:
        self.keep = path is not None
        try:
            self.path = Path(tempfile.mkdtemp(prefix="session-cluster-")) if path is None else _prepared(path)
            # A descriptor and not a file object: the reaper inherits it, and with it the lock.
            self.lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._take_lock()
            self.secrets, self.logs, self.proxy, self.metrics, self.data, self.tls = (
                self._fresh(name) for name in ("secrets", "logs", "proxy", "metrics", "data", "tls")
            )
        except OSError as error:
            place = path or tempfile.gettempdir()
            raise ClusterError(f"state folder {place} cannot be written: {error.strerror}") from error

    def secret(self, name: str, text: str) -> Path:
        """A new file that only this user can read."""
        path = self.secrets / name
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def server_folder(self, name: str) -> Path:
        """A folder for the data of one server, which goes with the secrets."""
        folder = self.data / name
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def describe(self, description: Description) -> None:
        """Write cluster.json: whole or not at all, readable by this user only."""
        text = msgspec.json.format(msgspec.json.encode(description), indent=2)
        descriptor, draft = tempfile.mkstemp(dir=self.path, prefix=f".{DESCRIPTION}.")  # mode 0600
        with os.fdopen(descriptor, "wb") as file:
            file.write(text + b"\n")
        Path(draft).replace(self.path / DESCRIPTION)

    def close(self) -> None:
        """Give the lock back. What is to be removed is removed by the reaper."""
        os.close(self.lock)

    def _take_lock(self) -> None:
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self.lock)
            pid = _pid_of(self.path)
            whose = f" (pid {pid})" if pid else ""
            raise ClusterError(f"state folder {self.path} is in use by a cluster{whose}: name another") from None

    def _fresh(self, name: str) -> Path:
        folder = self.path / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        return folder


def _prepared(path: Path) -> Path:
    path = path.absolute()
    if path.exists() and not path.is_dir():
        raise ClusterError(f"state folder {path} is not a folder: name another")
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Before its mode is changed: it might be somebody's home folder, or /tmp.
    if not (path / _LOCK).exists() and any(path.iterdir()):
        raise ClusterError(f"state folder {path} holds other things: name an empty or a new one")
    path.chmod(0o700)
    return path


def _pid_of(path: Path) -> int | None:
    with suppress(OSError, msgspec.DecodeError):
        return msgspec.json.decode((path / DESCRIPTION).read_bytes(), type=Description).pid
    return None
