"""One server of a local cluster: a process at a port, which is ready when it answers there itself."""

import http.client
import os
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

import nodes
from deploy.cluster import Member, MemberState, Role
from deploy.errors import ClusterError
from deploy.local.processes import Process, ProcessReaper
from deploy.ports import free_ports, is_taken, require_free

_POLL = 0.02
_ROOT = Path(nodes.__file__).parent.parent
# Nothing else of this process's environment reaches the servers: it might hold settings of another cluster.
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
_STARTS = 3
"""How often a server is started when somebody else was faster to take the port that was free a moment ago."""


@dataclass
class Server:
    """Mutable: its process comes and goes, and its port may have to change before it is ready for the first time."""

    name: str
    role: Role
    port: int
    log: Path
    command: Callable[[int], list[str]]
    """The command line for a port."""
    environment: Callable[[int], Mapping[str, str]]
    probe: Callable[[int], bool]
    """Whether what listens at this port answers as it should."""
    process: Process | None = None
    port_is_given: bool = False
    """Nobody may choose another."""
    _is_known_to_listen: bool = False

    def start(self, reaper: ProcessReaper, folder: Path) -> None:
        """Start the process; it is not ready yet."""
        self._is_known_to_listen = False
        self.process = reaper.start(self.command(self.port), self.environment(self.port), self.log, folder)

    def ready(self) -> bool:
        """Whether it answers, and it is our process that does: not another cluster's at the same port."""
        return self.running() and self.probe(self.port) and self._listens()

    def running(self) -> bool:
        """Whether its process runs: not paused, not ended."""
        return self.state() is MemberState.RUNNING

    def state(self) -> MemberState:
        """Without regard to the proxy's rotation."""
        if self.process is None or self.process.ended():
            return MemberState.ENDED
        return MemberState.PAUSED if self.process.paused() else MemberState.RUNNING

    def lost_its_port(self) -> bool:
        """Whether it has ended because somebody else listens at its port."""
        return self.state() is MemberState.ENDED and is_taken(self.port)

    def member(self, drained: bool = False) -> Member:
        """As the world may see it."""
        state = self.state()
        if drained and state is MemberState.RUNNING:
            state = MemberState.DRAINED
        pid = self.process.pid if self.process and state is not MemberState.ENDED else None
        return Member(self.name, self.role, f"127.0.0.1:{self.port}", pid, str(self.log), state)

    def _listens(self) -> bool:
        # Once for each start: reading the system's table takes long when thousands of connections are in it.
        if not self._is_known_to_listen:
            assert self.process is not None
            try:
                connections = psutil.Process(self.process.pid).net_connections("tcp4")
            except psutil.Error:
                return False
            self._is_known_to_listen = any(
                one.status == psutil.CONN_LISTEN and one.laddr.port == self.port for one in connections
            )
        return self._is_known_to_listen


def wait_until_ready(servers: Iterable[Server], timeout: float, start: Callable[[Server], None]) -> None:
    """Return when all are ready; one whose port was lost gets another, and is started again by `start`.

    Raises ClusterError, with the last line of its log, for one that ends, and after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    waiting = list(servers)
    starts = {server.name: 1 for server in waiting}
    while waiting := [server for server in waiting if not server.ready()]:
        for server in waiting:
            if server.state() is not MemberState.ENDED:
                continue
            assert server.process is not None
            if server.port_is_given:
                require_free(server.port)
            if starts[server.name] >= _STARTS or not server.lost_its_port():
                raise ClusterError(f"{server.name} ended as it started: {server.process.last_words()}")
            starts[server.name] += 1
            server.port = free_ports(1)[0]
            start(server)
        if time.monotonic() > deadline:
            names = ", ".join(server.name for server in waiting)
            raise ClusterError(f"not ready within {timeout:g} s: {names}")
        time.sleep(_POLL)


def http_ok(port: int, path: str, authority: Path | None = None) -> bool:
    """Whether GET http://127.0.0.1:port/path is a 200, within a second; https where an `authority` is to be trusted."""
    if authority is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    else:
        context = ssl.create_default_context(cafile=authority)
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=1, context=context)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """What a server gets: the basics of this process's environment, and these variables."""
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return {**inherited, "PYTHONPATH": str(_ROOT), **variables}
