"""The directory of a local cluster: secrets, logs, the proxy's files, and cluster.json for other tools."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

import msgspec
import psutil

from deploy.cluster import Member
from deploy.files import write_atomically, write_json
from deploy.spec import ClusterError

DESCRIPTION = "cluster.json"
_LOCK, _PREFIX = "lock", "session-cluster-"
_MOST_PID = 2**31 - 1


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """The content of cluster.json."""

    url: str
    pid: int
    """The command that runs the cluster, and ends it on SIGTERM."""
    node: str
    store: str
    balance: str
    session_cookie: str
    """Its name: with sessions in memory, a load test recognizes by it a write that found no session."""
    users: Mapping[str, str]
    """Name -> password."""
    password: str
    """The password that all users share."""
    processes: Sequence[Member]


class StateDir:
    """A folder with mode 0700, locked against a second cluster. None makes a temporary one, removed with the cluster.

    Raises ClusterError if it cannot be written, is used by a running cluster, or holds other files.
    """

    def __init__(self, path: Path | None) -> None:
        self.keep = path is not None
        try:
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX)) if path is None else _prepare(path)
            # A descriptor and not a file object: the reaper inherits it, and with it the lock.
            self.lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._take_lock()
            self.secrets, self.logs, self.proxy, self.metrics, self.data, self.tls = (
                self._make_folder(name) for name in ("secrets", "logs", "proxy", "metrics", "data", "tls")
            )
        except OSError as error:
            place = path or tempfile.gettempdir()
            raise ClusterError(f"state folder {place} cannot be written: {error.strerror}") from error

    @classmethod
    def reopen(cls, path: Path) -> Self | None:
        """Return a temporary folder that a killed command has left, as it is; None if a reaper has removed it. Block
        until a reaper has ended."""
        with suppress(FileNotFoundError):
            lock = os.open(path / _LOCK, os.O_RDWR | os.O_CLOEXEC)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if path.exists():
                found = cls.__new__(cls)
                found.keep, found.path, found.lock = False, path, lock
                return found
            os.close(lock)
        return None

    def write_secret(self, name: str, text: str) -> Path:
        """Write a file that only this user can read; return its path."""
        return write_atomically(self.secrets / name, text)

    def server_folder(self, name: str) -> Path:
        """Return a folder for the data of one server, which is removed with the secrets."""
        folder = self.data / name
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def describe(self, description: Description) -> None:
        """Write cluster.json."""
        write_json(self.path / DESCRIPTION, description, 0o600)

    def close(self) -> None:
        """Release the lock. The reaper removes the secrets, or the whole folder if it is temporary."""
        os.close(self.lock)

    def remove(self) -> None:
        """Remove a temporary folder that no reaper removes."""
        if not self.keep:
            shutil.rmtree(self.path, ignore_errors=True)

    def _take_lock(self) -> None:
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self.lock)
            pid = _read_pid(self.path)
            whose = f" (pid {pid})" if pid else ""
            raise ClusterError(f"state folder {self.path} is in use by a cluster{whose}: name another") from None

    def _make_folder(self, name: str) -> Path:
        folder = self.path / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        return folder


def _prepare(path: Path) -> Path:
    path = path.absolute()
    if path.exists() and not path.is_dir():
        raise ClusterError(f"state folder {path} is not a folder: name another")
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Before its mode is changed: it might be a home folder, or /tmp.
    if not (path / _LOCK).exists() and any(path.iterdir()):
        raise ClusterError(f"state folder {path} holds other things: name an empty or a new one")
    path.chmod(0o700)
    return path


def find_running(folder: Path | None) -> dict[Path, Description]:
    """Return the clusters of this user that run, by folder: the one in `folder`, or else those in temporary folders."""
    folders = [folder] if folder is not None else _list_own()
    found = {each: description for each in folders if (description := _read(each)) is not None}
    return {each: description for each, description in found.items() if psutil.pid_exists(description.pid)}


def _list_own() -> list[Path]:
    """Return the temporary folders that are this user's: anyone may make others."""
    own = []
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if folder.lstat().st_uid == os.getuid():
                own.append(folder)
    return sorted(own)


def _read(path: Path) -> Description | None:
    """Return the content of cluster.json; None where it is missing or damaged."""
    with suppress(OSError, msgspec.DecodeError, UnicodeDecodeError):
        found = msgspec.json.decode((path / DESCRIPTION).read_bytes(), type=Description)
        pids = {found.pid, *(member.pid for member in found.processes if member.pid is not None)}
        if all(0 < pid <= _MOST_PID for pid in pids):
            return found
    return None


def _read_pid(path: Path) -> int | None:
    description = _read(path)
    return None if description is None else description.pid
