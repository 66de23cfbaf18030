"""The cluster on Docker Swarm: stack.yaml on several machines."""

import secrets
import shutil
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from deploy.base import BaseCluster
from deploy.cluster import Member, MemberState
from deploy.compose.docker import Engine
from deploy.compose.services import NODE_PORT, PROXY_PORT, read_versions
from deploy.fault_proxy import FaultProxy
from deploy.redis.control import make_control
from deploy.spec import ClusterError, ClusterSpec, Discovery, NodeKind, check_nodes
from deploy.store_control import BaseStoreControl
from deploy.swarm.load_balancer import LoadBalancer
from deploy.swarm.machines import Machines, MachineState
from deploy.swarm.override import STORE_PROXY, configure, make_override, make_settings, render_proxy, write_override
from deploy.swarm.servers import SwarmProxy, SwarmRedis
from deploy.swarm.settings import StackSettings
from deploy.swarm.stack import LABEL, Stack, read_users
from deploy.swarm.tasks import TaskContainer, find_replaced, find_tasks, make_member, parse_container, require
from deploy.waiting import holds_within, wait_until

ROOT = Path(__file__).parents[2]
IMAGES = ("nginx:1.31", "redis:8")
_IMAGE = "session-cluster-swarm"
_SECONDS_TO_BUILD = 900.0
_RELEASE = "FROM {image}\nENV RELEASE={number}\n"
_BROKEN = "FROM {image}\nENV PYTHONHOME=/nowhere\n"  # with which Python does not start
_POLL = 0.25


class SwarmCluster(BaseCluster):
    """A `deploy.Cluster` on several machines, whose members Swarm starts again when they have ended.

    `machines` are shared with others and keep running; without them it has machines of its own. With `one_proxy` the
    only proxy is on the first machine, otherwise each machine has one. The load balancer in front of them is the `url`.
    A member that was killed comes back by itself after some seconds; `restart` waits for that.
    """

    _proxy: SwarmProxy

    def __init__(self, spec: ClusterSpec, machines: Machines | None = None, *, one_proxy: bool = False) -> None:
        super().__init__(spec)
        self._own_machines = machines is None
        self._machines = machines
        self._one_proxy = one_proxy
        self._stack: Stack | None = None
        self._settings: StackSettings | None = None
        self._load_balancer: LoadBalancer | None = None
        self._slots: frozenset[int] = frozenset()
        self._seen: dict[str, list[TaskContainer]] = {}
        """The containers of each machine that is on, when it was asked last."""
        self._release = 0

    @property
    def url(self) -> str:
        self._running_stack()
        assert self._load_balancer is not None, "it is started"
        return f"http://127.0.0.1:{self._load_balancer.port}"

    @property
    def machines(self) -> Machines:
        if self._machines is None or self._stack is None:
            raise ClusterError("the cluster does not run: start it first")
        return self._machines

    @property
    def authority(self) -> None:
        return None  # the load balancer in front serves http

    @property
    def store(self) -> BaseStoreControl:
        self._running_stack()
        servers = SwarmRedis(self.machines, self._folder, self.tasks)
        store = make_control(servers, self.spec, is_coordinated=False)
        store.fault_proxy = self._fault_proxy
        return store

    @property
    def versions(self) -> Mapping[str, str]:
        running = [one for one in self.tasks().values() if one is not None and one.state is MemberState.RUNNING]
        return read_versions((one.service, self._engine(one), one.id) for one in running)

    def stop(self) -> None:
        self._reset()
        if self._load_balancer is not None:
            self._load_balancer.close()
            self._load_balancer = None
        if self._machines is not None and self._stack is not None:
            if not self._own_machines:
                self._remove_stack(self._stack)
            self._stack = None
        if self._own_machines and self._machines is not None:
            self._machines.stop()
            self._machines = None
        self._seen = {}

    def wait_ready(self, timeout: float = 30.0) -> None:
        waiting = [name for name, task in self.tasks().items() if task and task.state is MemberState.RUNNING]
        self._wait_ready(waiting, timeout)
        wait_until(lambda: not self._replaced(), timeout, "containers that others have replaced did not end")

    def move(self, name: str) -> None:
        self._require_node(name)
        task = require(name, self.tasks()[name])
        if not set(self.machines.names) - {task.machine}:
            raise ClusterError(f"{name} cannot be moved: there is one machine")
        # Swarm starts it where it may: anywhere but here, for a moment.
        with self.machines.closed(task.machine):
            self._engine(task).docker("stop", "--time", self._drain_seconds, task.id, timeout=120)
            self._wait_replaced(name, task)

    def configure(self, node_settings: Mapping[str, str]) -> None:
        configure(self.machines, self._stack_settings(), node_settings)

    def roll_out(self, *, broken: bool = False) -> None:
        stack, base = self._running_stack(), self._stack_settings().image
        self._release += 1
        image = f"{base}:release-{self._release}"
        text = (_BROKEN if broken else _RELEASE).format(image=base, number=self._release)
        for name in self.machines.names:
            words = ("build", "--quiet", "--tag", image, "-")
            # Its own builder needs no plugin, and this takes no step that another could do faster.
            Engine({"DOCKER_BUILDKIT": "0"}, self.machines.engine(name).host).docker(*words, stdin=text)
        stack.update_image("node", image)
        stack.wait_deployed(self.spec.start_timeout * 3)

    def scale(self, nodes: int) -> None:
        if self.spec.discovery is not Discovery.DNS:
            super().scale(nodes)
            return
        check_nodes(nodes)
        self._scale_service(nodes)

    def members(self) -> tuple[Member, ...]:
        self._running_stack()
        unreachable = self._unreachable()
        return tuple(make_member(name, one, unreachable, name in self._states) for name, one in self.tasks().items())

    def tasks(self) -> dict[str, TaskContainer | None]:
        """Return the containers of the members, as the engines know them at this moment."""
        machines = self.machines
        asked = [name for name, state in machines.states.items() if state is not MachineState.OFF]
        with ThreadPoolExecutor(max_workers=len(machines.names)) as pool:
            self._seen = dict(zip(asked, pool.map(self._containers, asked), strict=True))
        proxies = () if self._one_proxy else [name for name in machines.names if name not in machines.drained]
        containers = [one for each in self._seen.values() for one in each]
        return find_tasks(containers, self._unreachable(), self._slots, proxies)

    def log_lines(self, name: str, count: int) -> tuple[str, ...]:
        self._find(name)
        task = require(name, self.tasks()[name])
        return self._engine(task).log_lines(task.id, count)

    def _is_started(self) -> bool:
        return self._stack is not None

    def _start(self) -> None:
        if self.spec.node is not NodeKind.FLASK:
            raise ClusterError(f"nodes on Swarm are flask: {self.spec.node} nodes run as local processes only")
        name = f"cluster-{secrets.token_hex(3)}"
        if self._machines is None:
            build_image()
            self._machines = Machines([_IMAGE, *IMAGES])
            self._machines.start()
        machines = self._machines
        self._slots = frozenset(range(1, self.spec.nodes + 1))
        self._folder = machines.folder / name
        settings = make_settings(self.spec, name, _IMAGE, machines, self._folder)
        self._stack = Stack(name, machines.manager())
        override = write_override(make_override(self.spec, settings, machines, self._one_proxy), self._folder)
        self._settings = settings
        self._proxy = SwarmProxy(machines, self.spec, self.tasks)
        self._stack.deploy(settings, self._folder, override, nginx_conf=render_proxy(self.spec))
        self.users = read_users(self._folder)
        if self.spec.store_proxy:
            self._start_fault_proxy(name)
        self._stack.wait_deployed(self.spec.start_timeout)
        self._load_balancer = LoadBalancer(machines, self.spec.port)
        self._change_proxy()
        self.wait_ready(self.spec.start_timeout)

    def _start_fault_proxy(self, stack: str) -> None:
        """Start the proxy between nodes and store, in a container that Swarm has started for it."""
        machine = self._stack_settings().store_machine
        engine, label = self.machines.engine(machine), f"com.docker.swarm.service.name={stack}_{STORE_PROXY}"
        running = ("ps", "--quiet", "--filter", f"label={label}", "--filter", "status=running")
        wait_until(lambda: bool(engine.docker(*running).strip()), self.spec.start_timeout, "no store proxy runs")
        container = engine.docker(*running).split()[0]
        program = ("python", "-S", "-E", "/app/deploy/tcp_proxy.py", "redis:6379", "0.0.0.0:6379")
        self._fault_proxy = FaultProxy(("docker", "--host", engine.host, "exec", "--interactive", container, *program))

    def _remove_stack(self, stack: Stack) -> None:
        for task in self.tasks().values():
            if task is not None and task.state is MemberState.PAUSED:
                self._engine(task).docker("unpause", task.id)
        if stack.services():
            stack.remove()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _add_nodes(self, count: int) -> None:
        self._scale_service(len(self._slots) + count)

    def _remove_nodes(self, names: Collection[str]) -> None:
        # Of those on one machine Swarm takes out first what does not run.
        for name in names:
            task = self._unpause(name)
            self._engine(task).docker("stop", "--time", self._drain_seconds, task.id, timeout=120)
        self._scale_service(len(self._slots) - len(names))
        self._change_proxy()

    def _scale_service(self, nodes: int) -> None:
        """Let Swarm have this number of nodes. Block until it has."""
        stack = self._running_stack()
        stack.engine.docker("service", "scale", "--detach", f"{stack.name}_node={nodes}")

        def slots() -> frozenset[int]:
            wanted = (task.name for task in stack.tasks() if task.desired in {"Running", "Ready"})
            return frozenset(int(name.partition(".")[2]) for name in wanted if name.startswith("node."))

        message = f"Swarm does not have {nodes} nodes"
        if not holds_within(lambda: len(slots()) == nodes, self.spec.start_timeout, _POLL):
            raise ClusterError(f"{message} within {self.spec.start_timeout:g} s")
        self._slots = slots()
        self._wait_ready([f"node-{slot}" for slot in self._slots], self.spec.start_timeout)

    def _kill(self, name: str) -> None:
        task = self._unpause(name)
        self._engine(task).docker("kill", task.id)

    def _pause(self, name: str) -> None:
        task = require(name, self.tasks()[name])
        self._engine(task).pause(task.id)

    def _resume(self, name: str) -> None:
        self._unpause(name)

    def _restart(self, name: str) -> None:
        old = self.tasks()[name]
        if old is not None and old.state is not MemberState.ENDED:
            old = self._unpause(name)
            self._engine(old).docker("stop", "--time", self._drain_seconds, old.id, timeout=120)
        self._wait_replaced(name, old)

    def _describe(self) -> None:
        """Do nothing: the engines know their containers."""

    def _require_proxy(self) -> None:
        if not self._proxy.running():
            raise ClusterError("no proxy runs, so none can be changed: restart it first")

    def _wait_replaced(self, name: str, old: TaskContainer | None) -> None:
        """Block until another container than `old` is this member, and ready."""

        def replaced() -> bool:
            new = self.tasks()[name]
            return new is not None and new.serves and (old is None or new.id != old.id)

        if not holds_within(replaced, self.spec.start_timeout, _POLL):
            raise ClusterError(f"Swarm has not replaced {name} within {self.spec.start_timeout:g} s")
        new = require(name, self.tasks()[name])
        if new.service == "proxy":
            self._proxy.install_in(new)
        self._wait_ready([name], self.spec.start_timeout)

    def _wait_ready(self, names: Collection[str], timeout: float) -> None:
        waiting = list(names)

        def all_ready() -> bool:
            tasks = self.tasks()
            waiting[:] = [name for name in waiting if not self._is_ready(tasks.get(name))]
            return not waiting

        if not holds_within(all_ready, timeout, _POLL):
            raise ClusterError(f"not ready within {timeout:g} s: {', '.join(waiting)}")

    def _is_ready(self, task: TaskContainer | None) -> bool:
        if task is None or task.state is not MemberState.RUNNING:
            return False
        if task.service == "node":
            check = ("bash", "/app/deploy/compose/entrypoints/http-check.sh", str(NODE_PORT), "/ready")
            return self._engine(task).succeeds(task.id, *check)
        if task.service == "proxy":
            # Each by itself: one that does not know the nodes yet answers 502, while another one is well.
            words = ("curl", "--fail", "--silent", "--max-time", "2", "--output", "/dev/null")
            return self._engine(task).succeeds(task.id, *words, f"http://127.0.0.1:{PROXY_PORT}/live")
        return task.healthy

    def _containers(self, machine: str) -> list[TaskContainer]:
        stack = self._running_stack().name
        inspected = self.machines.engine(machine).inspect(f"{LABEL}={stack}")
        known = {one.id: one.pid for one in self._seen.get(machine, ()) if one.pid}
        found = []
        for one in inspected:
            if one["Config"]["Labels"].get("com.docker.swarm.service.name", "").endswith(f"_{STORE_PROXY}"):
                continue
            pid = one["State"]["Pid"]
            host_pid = (known.get(one["Id"]) or self.machines.host_pid(machine, pid)) if pid else None
            found.append(parse_container(stack, machine, one, host_pid))
        return found

    def _replaced(self) -> tuple[TaskContainer, ...]:
        tasks = self.tasks().values()
        return find_replaced((one for each in self._seen.values() for one in each), tasks, self._unreachable())

    def _unreachable(self) -> frozenset[str]:
        return self.machines.unreachable

    def _unpause(self, name: str) -> TaskContainer:
        """Return a member after it is unpaused: the engine neither stops nor kills a paused one."""
        task = require(name, self.tasks()[name])
        if task.state is MemberState.PAUSED:
            self._engine(task).docker("unpause", task.id)
            return require(name, self.tasks()[name])
        return task

    def _engine(self, task: TaskContainer) -> Engine:
        return self.machines.engine(task.machine)

    @property
    def _drain_seconds(self) -> str:
        return str(round(self.spec.drain_timeout))

    def _running_stack(self) -> Stack:
        if self._stack is None:
            raise ClusterError("the cluster does not run: start it first")
        return self._stack

    def _stack_settings(self) -> StackSettings:
        self._running_stack()
        assert self._settings is not None, "it is started"
        return self._settings


def build_image() -> str:
    """Build the image of the nodes with this machine's engine, from this checkout, and return its name."""
    words = ("build", "--quiet", "--target", "node", "--tag", _IMAGE, str(ROOT))
    Engine({"DOCKER_BUILDKIT": "0"}).docker(*words, timeout=_SECONDS_TO_BUILD)
    return _IMAGE
