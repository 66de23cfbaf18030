"""A cluster of compose.yaml as a container beside it sees it, without access to the engine: it can only be watched.

The engine's DNS tells which nodes there are, and HTTP whether they answer. The store is in another network, so the
state of its servers is unknown.
"""

import http.client
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Self

from deploy.cluster import Cluster, MachineControl, Member, MemberState, Role
from deploy.compose.services import PROXY_PORT, SERVICES, member_name, store_services
from deploy.spec import ClusterError, ClusterSpec
from deploy.store_control import BaseStoreControl
from deploy.waiting import holds_within, look_until
from proxy import Balance

INTERVAL = 0.5
PATIENCE = 2.0
"""Seconds after which a member that does not answer is silent."""
SECONDS_SHOWN = 60.0
"""Seconds for which the last nodes are members after they are gone: they may have died, or have been taken out."""
_REPLICA = re.compile(r"^(?P<project>.+)[-_](?P<service>node|proxy)[-_](?P<number>\d+)\.")


class EngineNames:
    """The engine's DNS: addresses of a service, and the name of the container at an address."""

    def addresses(self, service: str) -> tuple[str, ...]:
        """Return the address of each container of a service that runs or is paused."""
        try:
            found = socket.getaddrinfo(service, None, socket.AF_INET, socket.SOCK_STREAM)
        except OSError:
            return ()  # a service without a running container has no name
        return tuple(sorted({str(one[4][0]) for one in found}))

    def container(self, address: str) -> str:
        """Return "<project>-node-2.<network>"; empty if the engine does not know it."""
        try:
            return socket.gethostbyaddr(address)[0]
        except OSError:
            return ""


def answers(address: str, path: str) -> bool:
    """Return whether a member answers, whatever it says. Takes at most PATIENCE."""
    connection = http.client.HTTPConnection(address, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True


class WatchedCluster:
    """A `deploy.Cluster` that others run. `start` waits for it, and `stop` lets it run.

    `url` is for containers, `shop` for browsers. What would need the engine raises ClusterError.
    """

    authority = None

    def __init__(
        self,
        spec: ClusterSpec,
        users: Mapping[str, str],
        shop: str,
        *,
        names: EngineNames | None = None,
        answers: Callable[[str, str], bool] = answers,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.spec, self.users, self.shop = spec, users, shop
        self.url = f"http://proxy:{PROXY_PORT}"
        self.project = ""
        """The name of the compose project, as soon as a container was seen."""
        self._names, self._answers, self._clock = names or EngineNames(), answers, clock
        self._nodes: dict[int, tuple[str, float]] = {}
        """The address of each node that was seen, and when it was in the DNS last."""
        self._members: tuple[Member, ...] = ()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def policy(self) -> Balance:
        return self.spec.balance

    @property
    def node_count(self) -> int:
        return sum(one.role is Role.NODE for one in self._members)

    @property
    def node_environment(self) -> Mapping[str, str]:
        raise ClusterError("the nodes' store can be reached from their containers only")

    @property
    def versions(self) -> Mapping[str, str]:
        return {}

    @property
    def machines(self) -> MachineControl:
        raise ClusterError(f"the cluster runs on one machine: {_NO_ENGINE}")

    @property
    def store(self) -> BaseStoreControl:
        return BaseStoreControl(self.spec.store)

    def start(self) -> None:
        """Return when the proxy and a node answer, which may take as long as it likes."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._watch, name="members", daemon=True)
        self._thread.start()
        while not self._is_ready():
            time.sleep(INTERVAL)

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=PATIENCE)

    def wait_ready(self, timeout: float = 30.0) -> None:
        if not holds_within(self._is_ready, timeout):
            raise ClusterError(f"the proxy and a node did not answer within {timeout:g} s")

    def members(self) -> tuple[Member, ...]:
        return self._members

    def container(self, name: str) -> str:
        """Return the name of a member's container, as `docker` takes it."""
        return next((one.log.removeprefix(_LOGS) for one in self._members if one.name == name), name)

    def look(self) -> tuple[Member, ...]:
        """Look once, and return the members."""
        proxies, nodes = self._find("proxy"), self._find("node")
        self._nodes |= {number: (address, self._clock()) for number, address in nodes.items()}
        with ThreadPoolExecutor(max_workers=8) as pool:
            asked = {number: pool.submit(self._ask, address, "node", "/live") for number, address in nodes.items()}
            # By name: the proxy answers no request for an address.
            proxy = self._ask("proxy", "proxy", "/proxy/health") if proxies else MemberState.ENDED
        states = {number: one.result() for number, one in asked.items()}
        found = [self._member("proxy", 1, next(iter(proxies.values()), ""), proxy)]
        for number in self._shown(nodes):
            address, state = nodes.get(number, ""), states.get(number, MemberState.ENDED)
            found.append(self._member("node", number, address, state))
        found += [self._member(one, 1, "", MemberState.UNKNOWN) for one in store_services(self.spec)]
        self._members = tuple(sorted(found, key=lambda one: list(Role).index(one.role)))
        return self._members

    def log_lines(self, name: str, count: int) -> tuple[str, ...]:
        raise ClusterError(f"the log is the engine's: docker logs --tail {count} {self.container(name)}")

    def exit_reason(self, _name: str) -> str:
        return ""

    def scale(self, nodes: int) -> None:
        raise ClusterError(f"cannot scale to {nodes} nodes: {_NO_ENGINE}")

    def kill(self, name: str) -> None:
        raise ClusterError(f"cannot change {name}: {_NO_ENGINE}")

    def roll_out(self, *, broken: bool = False) -> None:
        raise ClusterError(f"cannot roll out {'a broken' if broken else 'a'} release: {_NO_ENGINE}")

    pause = resume = drain = restart = move = kill

    def balance(self, policy: Balance) -> None:
        raise ClusterError(f"cannot balance by {policy}: {_NO_ENGINE}")

    def configure(self, node_settings: Mapping[str, str]) -> None:
        raise ClusterError(f"cannot set {', '.join(node_settings)}: {_NO_ENGINE}")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def _is_ready(self) -> bool:
        running = {one.role for one in self._members if one.state is MemberState.RUNNING}
        return {Role.PROXY, Role.NODE} <= running

    def _watch(self) -> None:
        for _ in look_until(self._stopping, lambda took: max(INTERVAL, took)):
            with suppress(OSError):
                self.look()

    def _ask(self, address: str, service: str, path: str) -> MemberState:
        answered = self._answers(f"{address}:{SERVICES[service].port}", path)
        return MemberState.RUNNING if answered else MemberState.SILENT

    def _find(self, service: str) -> dict[int, str]:
        """Return the number and the address of each container of a service; a name that tells no number is the next."""
        found: dict[int, str] = {}
        unnamed: list[str] = []
        for address in self._names.addresses(service):
            match = _REPLICA.match(self._names.container(address))
            if match is None:
                unnamed.append(address)
                continue
            self.project = match["project"]
            found[int(match["number"])] = address
        for address in unnamed:
            found[max(found, default=0) + 1] = address
        return found

    def _shown(self, present: Iterable[int]) -> Iterable[int]:
        """Return the numbers of the nodes that are members: those that are there, and those that are missing.

        One that is gone is missing while a later one is there, or none at all; the last ones only for a while.
        """
        last = max(present, default=0)
        recent = self._clock() - SECONDS_SHOWN
        gone = [number for number, (_, seen) in self._nodes.items() if number > last and (not last or seen > recent)]
        for number in [one for one in self._nodes if one > last and one not in gone]:
            del self._nodes[number]
        return range(1, max(last, *gone, 0) + 1)

    def _member(self, service: str, number: int, address: str, state: MemberState) -> Member:
        one = SERVICES[service]
        container = f"{self.project}-{service}-{number}" if self.project else service
        where = f"{address}:{one.port}" if address else ""
        return Member(member_name(service, number), one.role, where, None, f"{_LOGS}{container}", state)


def find_shop(cluster: Cluster) -> str:
    """Return the address of a cluster that runs, for browsers. Raises ClusterError."""
    return cluster.shop if isinstance(cluster, WatchedCluster) else cluster.url


_LOGS = "docker logs "
_NO_ENGINE = "this cluster can only be watched; type the command of the engine"
