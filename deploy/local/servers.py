"""Servers of a local cluster: processes at a port, ready when they answer there; and how nodes are started."""

import os
import secrets
import shlex
import signal
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import psutil

import nodes
from deploy.cluster import Member, MemberState, Role
from deploy.local.processes import Process, ProcessReaper, python_path
from deploy.local.revision import extract_nodes
from deploy.local.state import StateDir
from deploy.ports import free_ports, is_taken, require_free
from deploy.redis.acl import Rights
from deploy.spec import ClusterError, ClusterSpec, NodeKind, StoreKind
from deploy.waiting import holds_within, http_ok
from nodes.accounts import UsersError, create_users

_NODES = Path(nodes.__file__)
# Nothing else of this process's environment reaches the servers: it might hold settings of another cluster.
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
_STARTS = 3
"""Maximum number of starts of a server, because another process may take its port in between."""


@dataclass
class Server:
    """A process at a port. Both can change: it may be restarted, and get another port before it is first ready."""

    name: str
    role: Role
    port: int
    log: Path
    command: Callable[[int], list[str]]
    """Port -> command line."""
    probe: Callable[[int], bool]
    """Port -> whether the server there answers as it should."""
    environment: Callable[[int], Mapping[str, str]] = lambda _: make_environment({})
    process: Process | None = None
    port_is_fixed: bool = False
    _is_known_to_listen: bool = False

    def start(self, reaper: ProcessReaper, folder: Path) -> None:
        """Start the process; it is not ready yet."""
        self._is_known_to_listen = False
        self.process = reaper.start(self.command(self.port), self.environment(self.port), self.log, folder)

    def ready(self) -> bool:
        """Return whether this process answers, and not a process of another cluster at its port."""
        return self.running() and self.probe(self.port) and self._listens()

    def running(self) -> bool:
        """Return whether its process runs: neither paused nor ended."""
        return self.state() is MemberState.RUNNING

    def state(self) -> MemberState:
        """Return the state of the process, without regard to the proxy's rotation."""
        status = psutil.STATUS_DEAD if self.process is None else self.process.status()
        if status == psutil.STATUS_DEAD:
            return MemberState.ENDED
        return MemberState.PAUSED if status == psutil.STATUS_STOPPED else MemberState.RUNNING

    def port_taken(self) -> bool:
        """Return whether it has ended because another process listens at its port."""
        return self.state() is MemberState.ENDED and is_taken(self.port)

    def member(self, drained: bool = False) -> Member:
        """Return it as a member of the cluster."""
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


class ServerGroup:
    """Starts servers, which end with this process, however it ends. `state_dir` None makes a temporary folder.

    Raises ClusterError.
    """

    def __init__(self, state_dir: Path | None) -> None:
        self.state = StateDir(state_dir)
        self._reaper = ProcessReaper(self.state.path, self.state.keep, self.state.lock)

    def start(self, servers: Iterable[Server], timeout: float) -> None:
        """Start servers, and return when all are ready."""
        servers = list(servers)
        for server in servers:
            self._start(server)
        self.wait_ready(servers, timeout)

    def wait_ready(self, servers: Iterable[Server], timeout: float) -> None:
        """Block until all are ready. A server whose port was taken gets another port, and is started again.

        Raises ClusterError, with the last line of its log, for a server that ends, and after `timeout` seconds.
        """
        waiting = list(servers)
        starts = {server.name: 1 for server in waiting}

        def all_ready() -> bool:
            waiting[:] = [server for server in waiting if not server.ready()]
            for server in waiting:
                if server.state() is MemberState.ENDED:
                    starts[server.name] += 1
                    self._start_elsewhere(server, starts[server.name])
            return not waiting

        if not holds_within(all_ready, timeout):
            raise ClusterError(f"not ready within {timeout:g} s: {', '.join(server.name for server in waiting)}")

    def end(self, servers: Iterable[Server], timeout: float) -> None:
        """End servers, in any state, at the same time: first gracefully and after `timeout` seconds by force."""
        processes = [(server, server.process) for server in servers if server.process is not None]
        for server, process in processes:
            # On TERM, nginx drops its open requests.
            process.terminate(signal.SIGQUIT if server.role is Role.PROXY else signal.SIGTERM)
        for _, process in processes:
            process.wait_ended(timeout)

    def close(self) -> None:
        """End what still runs, and remove the secrets, or the whole folder if it is temporary."""
        self._reaper.close()
        self.state.close()

    def _start(self, server: Server) -> None:
        server.start(self._reaper, self.state.path)

    def _start_elsewhere(self, server: Server, starts: int) -> None:
        """Start a server at another port, for the `starts`-th time. Raises ClusterError if its port was not taken."""
        assert server.process is not None
        if server.port_is_fixed:
            require_free(server.port)
        if starts > _STARTS or not server.port_taken():
            raise ClusterError(f"{server.name} ended as it started: {server.process.log_tail()}")
        server.port = free_ports(1)[0]
        self._start(server)


def make_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a server: the basics of this process's own, and `variables`."""
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return {**inherited, "PYTHONPATH": os.pathsep.join(python_path()), **variables}


def make_guest_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a node with a user's own application, which needs its own variables.

    So it has all variables of this process, except those that would contradict `variables`.
    """
    pairs = {name.removesuffix("_FILE") for name in variables}
    inherited = {name: value for name, value in os.environ.items() if name.removesuffix("_FILE") not in pairs}
    folders = [*python_path(), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**inherited, "PYTHONPATH": os.pathsep.join(folders), **variables}


@dataclass(frozen=True, kw_only=True)
class NodeApplication:
    """Another application as a node of the cluster. It serves the HTTP interface of docs/http-api.md, on plain HTTP.

    It gets the variables of our nodes: NODE_NAME, NODE_WORKERS, SESSION_STORE, SESSION_SECRETS_FILE,
    TRUSTED_PROXIES, with a Redis REDIS_URL_FILE (redis:// or redis+sentinel://), and `ClusterSpec.node_settings`. More
    variables are HOST and PORT to listen at, CLUSTER_USERS_FILE, a file with the passwords ({"users": {name:
    password}}), and SESSION_SECURE=on where the proxy serves TLS. GET /ready answers 200 when it can serve.
    """

    kind: NodeKind
    command: tuple[str, ...]
    """Runs in the foreground until SIGTERM; its first process listens itself."""
    rights: Rights
    """The keys and commands that its user needs at the store."""
    rights_at_sentinels: Rights
    """The commands that its user needs at the Sentinels of StoreKind.REDIS_HA to find the primary."""
    environment: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    """Versions of its libraries: {"flask-session": "0.8.0"}."""


class LocalNodes:
    """Makes the nodes of one cluster, and the users and secrets that they share. Starts nothing."""

    def __init__(self, spec: ClusterSpec, state: StateDir, application: NodeApplication | None = None) -> None:
        self._spec = spec
        self._state = state
        self._application = application
        self._configured: Mapping[str, str] = {}
        self.environment: Mapping[str, str] = {}
        """The variables of all of our nodes, as the last one that started got them."""
        self._earlier = extract_nodes(spec.revision, state.data / "revision") if spec.revision else None
        users_file = state.secrets / "users.json"
        try:
            self.users: Mapping[str, str] = create_users(users_file, spec.users, secrets.token_urlsafe(15))
        except UsersError as error:
            raise ClusterError(str(error)) from error
        self._variables = {
            "NODE_WORKERS": str(spec.workers),
            "SESSION_STORE": str(StoreKind.REDIS if spec.store.has_several_servers else spec.store),
            "SESSION_SECRETS_FILE": str(state.write_secret("session-secrets", secrets.token_hex(32) + "\n")),
            "TRUSTED_PROXIES": "1",
            **({"NODE_APP": spec.application, "NODE_APP_FOLDER": str(Path.cwd())} if spec.application else {}),
            **self._users_variables(users_file),
        }
        if spec.store is StoreKind.FILE:
            self._variables["SESSION_FOLDER"] = str(state.data / "sessions")
        if spec.store is StoreKind.SQL:
            database = (state.data / "sessions.db").resolve()
            self._variables |= {"DATABASE_URL": f"sqlite:///{database}", "DATABASE_CREATE_SCHEMA": "on"}

    def make(self, names: Sequence[str], store_environment: Callable[[], Mapping[str, str]]) -> list[Server]:
        """Return a server for each name. `store_environment` is called at each start, when the store has its ports."""
        ports = free_ports(len(names))
        return [self._make_node(name, port, store_environment) for name, port in zip(names, ports, strict=True)]

    def configure(self, variables: Mapping[str, str]) -> None:
        """Start nodes, from now on, with the present code and these variables on top of those of the spec."""
        self._configured, self._earlier = dict(variables), None

    def _users_variables(self, users_file: Path) -> dict[str, str]:
        """Return the variables of the users: hashes for our nodes, passwords (and whether TLS is on) for others."""
        if self._application is None:
            return {"USERS_FILE": str(users_file)}
        passwords = msgspec.json.encode({"users": self.users}).decode()
        variables = {"CLUSTER_USERS_FILE": str(self._state.write_secret("passwords.json", passwords))}
        return {**variables, "SESSION_SECURE": "on"} if self._spec.tls else variables

    def _describe(self, shared: Mapping[str, str]) -> None:
        """Write the variables of all nodes to a file for a shell: commands such as `nodes.accounts` need them."""
        self.environment = {**self._variables, **shared}
        lines = (f"export {name}={shlex.quote(value)}\n" for name, value in self.environment.items())
        self._state.write_secret("node.env", "".join(lines))

    def _make_node(self, name: str, port: int, store_environment: Callable[[], Mapping[str, str]]) -> Server:
        application = self._application

        def environment(port: int) -> Mapping[str, str]:
            shared = {**store_environment(), **self._spec.node_settings, **self._configured}
            if application is None:
                self._describe(shared)
            variables = {
                **self._variables,
                "NODE_NAME": name,
                "NODE_BIND": f"127.0.0.1:{port}",
                "PROMETHEUS_MULTIPROC_DIR": str(self._state.metrics / name),
            }
            if application is not None:
                variables |= {"HOST": "127.0.0.1", "PORT": str(port), **application.environment}
            if self._earlier is not None:
                variables["PYTHONPATH"] = str(self._earlier)
            make = make_guest_environment if self._spec.application else make_environment
            return make({**variables, **shared})

        def command(_: int) -> list[str]:
            if application is not None:
                return list(application.command)
            package = _NODES.parent if self._earlier is None else self._earlier / "nodes"
            conf = str(package / "gunicorn.conf.py")
            return [sys.executable, "-m", "gunicorn", "-c", conf, "nodes.app:from_environ()"]

        return Server(
            name,
            Role.NODE,
            port,
            self._state.logs / f"{name}.log",
            command,
            lambda port: http_ok(port, "/ready"),
            environment,
        )
