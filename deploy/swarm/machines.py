"""Several machines on this one: Docker engines, each in namespaces of its own, on one network that can be cut.

A machine is a tree of processes below an init of its own: killing that is like a power failure, and leaves no process,
mount or interface. Its disk is a folder, so it can be started again. Linux, as root, with `dockerd`.
"""

import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Self

import psutil

from deploy.compose.docker import Engine
from deploy.files import read_last_lines
from deploy.local.processes import Process, ProcessReaper
from deploy.local.servers import make_environment
from deploy.local.state import StateDir
from deploy.spec import ClusterError
from deploy.steps import run_all
from deploy.swarm import beside
from deploy.swarm.images import copy_images, load_images
from deploy.swarm.namespaces import INIT, NAMESPACES, SWITCH, find_init, has_network, pid_within, require_machines
from deploy.waiting import wait_until

MACHINES = 3
"""As many managers may be: with two of them the swarm has a quorum."""
_SECONDS_TO_START, _SECONDS_TO_JOIN, _SECONDS_OF_A_COMMAND = 40.0, 90.0, 30.0
_PORT = 2377


class MachineState(StrEnum):
    """The state of a machine: the last of these that it is in."""

    RUNNING = "running"
    CUT_OFF = "cut off"
    """It runs, and its network does not."""
    ISOLATED = "isolated"
    """It runs with its network, and its manager reaches no other."""
    OFF = "off"


def _in_network(namespace: str, command: Sequence[str], stdin: str = "") -> None:
    words = ["nsenter", f"--net={namespace}", *command]
    try:
        done = subprocess.run(
            words, input=stdin, capture_output=True, text=True, timeout=_SECONDS_OF_A_COMMAND, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"`{' '.join(command)}` did not end within {_SECONDS_OF_A_COMMAND:.0f} s") from error
    if done.returncode:
        raise ClusterError(f"`{' '.join(command)}`: {' '.join(done.stderr.split())}")


class Machines:
    """Machines `machine-1` and so on, all of them managers of one swarm, in the zones a, b and c.

    They have these images of this machine's engine. They end with this process, however it ends. Every method raises
    ClusterError.
    """

    def __init__(self, images: Iterable[str], count: int = MACHINES) -> None:
        self.names = tuple(f"machine-{number}" for number in range(1, count + 1))
        self._images = tuple(images)
        # 100.64.0.0/10 is for networks behind an address translation, and not for machines that one has to reach.
        self._subnet = f"100.{64 + secrets.randbelow(64)}.{secrets.randbelow(256)}"
        self._state: StateDir | None = None
        self._reaper: ProcessReaper | None = None
        self._switch: Process | None = None
        self._running: dict[str, Process] = {}
        # What was done to a machine, and has to be undone: several things at a time.
        self._cut: set[str] = set()
        self._isolated: set[str] = set()
        self._off: set[str] = set()
        self._drained: set[str] = set()

    @property
    def states(self) -> Mapping[str, MachineState]:
        """The state of each machine that was started."""
        return {name: self._state_of(name) for name in self.names if name in self._running or name in self._off}

    @property
    def unreachable(self) -> frozenset[str]:
        """The machines that nothing reaches: cut off, whatever else, or off."""
        return frozenset(self._cut | self._off)

    @property
    def gateway(self) -> str:
        """The address of what is beside the machines, in their network."""
        return f"{self._subnet}.254"

    @property
    def folder(self) -> Path:
        """A folder that every machine shares with this process."""
        assert self._state is not None, "they are started"
        return self._state.path

    def address(self, name: str) -> str:
        """Return the address of a machine in their network."""
        return f"{self._subnet}.{self.names.index(name) + 1}"

    def engine(self, name: str) -> Engine:
        """Return the engine of a machine. It can be asked also where the machine's network is cut."""
        return Engine(host=f"unix://{self._disk(name)}/docker.sock")

    def manager(self) -> Engine:
        """Return the engine of a machine that runs with its network."""
        for name, state in self.states.items():
            if state is MachineState.RUNNING:
                return self.engine(name)
        raise ClusterError("no machine runs with its network")

    def start(self) -> None:
        """Start them, and make them a swarm."""
        require_machines()
        try:
            self._start()
        except BaseException:  # Ctrl-C too
            self.stop()
            raise

    def stop(self) -> None:
        """Switch all of them off, and remove their disks. The first error is raised when all of it is done."""
        try:
            run_all(partial(self._kill, name) for name in tuple(self._running))
        finally:
            closing = [each for each in (self._reaper, self._state) if each is not None]
            self._reaper = self._state = self._switch = None
            for done in (self._running, self._cut, self._isolated, self._off, self._drained):
                done.clear()
            for each in closing:
                each.close()

    def cut_off(self, name: str) -> None:
        """Pull the cable of a machine: nothing reaches it any longer, and nobody is told."""
        self._require_on(name)
        self._in_switch("ip", "link", "set", name, "down")
        self._cut.add(name)

    def connect(self, name: str) -> None:
        """Undo `cut_off`."""
        self._require_on(name)
        self._in_switch("ip", "link", "set", name, "up")
        self._cut.discard(name)

    def kill(self, name: str) -> None:
        """Switch a machine off, as a power failure does."""
        self._require_on(name)
        self._off.add(name)
        self._kill(name)

    def switch_on(self, name: str) -> None:
        """Start a machine that is off, with its disk. Return when its engine answers."""
        if name not in self._off:
            self._require_on(name)
            raise ClusterError(f"{name} is not off")
        self._boot(name)
        self._off.discard(name)
        self._wait_for_engine(name)

    def isolate_manager(self, name: str) -> None:
        """Drop what the manager of a machine and the others send each other; its containers and their network go on."""
        self._require_on(name)
        if name not in self._isolated:
            self._change_rules(name, "--insert")
            self._isolated.add(name)

    def rejoin_manager(self, name: str) -> None:
        """Undo `isolate_manager`."""
        self._require_on(name)
        if name in self._isolated:
            self._change_rules(name, "--delete")
            self._isolated.discard(name)

    @property
    def drained(self) -> frozenset[str]:
        """The machines that may run nothing."""
        return frozenset(self._drained)

    def drain(self, name: str) -> None:
        """Let the swarm run nothing on a machine: what is there is started elsewhere."""
        self._set_availability(name, "drain")
        self._drained.add(name)

    def undrain(self, name: str) -> None:
        """Undo `drain`: the machine may be used again."""
        self._set_availability(name, "active")
        self._drained.discard(name)

    @contextmanager
    def closed(self, name: str) -> Iterator[None]:
        """Let the swarm start nothing on a machine for a while; what is there stays. One that is drained stays so."""
        if name not in self._drained:
            self._set_availability(name, "pause")
        try:
            yield
        finally:
            self._set_availability(name, "drain" if name in self._drained else "active")

    def has_quorum(self) -> bool:
        """Return whether the managers can change the swarm."""
        try:
            self.manager().docker("node", "ls", timeout=5.0)
        except ClusterError:
            return False
        return True

    def restore(self) -> None:
        """Undo all that was done to any of them, and wait for a quorum where something needs it.

        The first error is raised when the others have been tried.
        """
        unled = bool(self._isolated or self._drained)
        run_all(partial(self._restore, name) for name in self.names)
        if unled:
            wait_until(self.has_quorum, _SECONDS_TO_JOIN, "the managers have no quorum")
        run_all(partial(self.undrain, name) for name in sorted(self._drained))

    def host_pid(self, name: str, pid: int) -> int | None:
        """Return the id that a process of a machine has on this one."""
        try:
            processes = psutil.Process(self._running[name].pid).children(recursive=True)
        except (KeyError, psutil.Error):
            return None
        return next((each.pid for each in processes if pid_within(each.pid) == pid), None)

    def run_beside(self, port: int, command: Sequence[str], log: Path, folder: Path) -> Process:
        """Start a program in the network of the machines, as one more host there. It gets a socket that listens on
        127.0.0.1:`port` of this machine as descriptor 3, in the way that nginx inherits sockets."""
        assert self._reaper is not None, "they are started"
        launcher = (sys.executable, "-S", "-E", beside.__file__, str(port), self._namespace())
        return self._reaper.start([*launcher, *command], make_environment({}), log, folder)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def _state_of(self, name: str) -> MachineState:
        states = (
            (self._off, MachineState.OFF),
            (self._cut, MachineState.CUT_OFF),
            (self._isolated, MachineState.ISOLATED),
        )
        return next((state for done, state in states if name in done), MachineState.RUNNING)

    def _require_on(self, name: str) -> None:
        self._require_known(name)
        if name not in self._running:
            raise ClusterError(f"{name} is off: switch it on first")

    def _restore(self, name: str) -> None:
        undos = ((self._off, self.switch_on), (self._isolated, self.rejoin_manager), (self._cut, self.connect))
        for done, undo in undos:
            if name in done:
                undo(name)

    def _set_availability(self, name: str, availability: str) -> None:
        self.manager().docker("node", "update", "--availability", availability, name)

    def _start(self) -> None:
        self._state = StateDir(None)
        self._reaper = ProcessReaper(self._state.path, keep=False, lock=self._state.lock, cgroup=self._cgroup)
        command = ("unshare", "--net", "sh", "-euc", SWITCH, "sh", self.gateway)
        self._switch = self._launch("switch", command)
        wait_until(self._has_switch, _SECONDS_TO_START, "no network for the machines")
        self._boot_all()
        self._make_swarm()

    def _boot_all(self) -> None:
        """Start all machines with the images; return when their engines answer."""
        first, *others = self.names
        self._boot(first)
        self._wait_for_engine(first)
        self._load_images(first)
        lacking = [name for name in others if not copy_images(self._disk(first) / "data", self._disk(name) / "data")]
        for name in others:
            self._boot(name)
        for name in others:
            self._wait_for_engine(name)
        for name in lacking:
            self._load_images(name)

    def _make_swarm(self) -> None:
        first, *others = self.names
        self._join(first, "init")
        token = self.engine(first).docker("swarm", "join-token", "--quiet", "manager").strip()
        for name in others:
            self._join(name, "join", "--token", token, f"{self.address(first)}:{_PORT}")
        for name, zone in zip(self.names, "abcdefghi", strict=False):
            self.engine(first).docker("node", "update", "--label-add", f"zone={zone}", name)

    def _join(self, name: str, *words: str) -> None:
        command, *rest = words
        addresses = ("--advertise-addr", self.address(name), "--listen-addr", f"{self.address(name)}:{_PORT}")
        self.engine(name).docker("swarm", command, *addresses, *rest, timeout=_SECONDS_TO_JOIN)

    def _boot(self, name: str) -> None:
        """Start a machine; its engine does not answer yet."""
        disk = self._disk(name)
        disk.mkdir(mode=0o700, exist_ok=True)
        places = {
            "data-root": disk / "data",
            "exec-root": disk / "exec",
            "pidfile": disk / "pid",
            "host": f"unix://{disk}/docker.sock",
            "cgroup-parent": self._cgroup,
        }
        shutil.rmtree(disk / "exec", ignore_errors=True)
        engine = ("dockerd", *(f"--{option}={value}" for option, value in places.items()))
        init = ("sh", "-euc", INIT, "sh", name, self.address(name), self.gateway, str(disk), find_init() or "", *engine)
        process = self._running[name] = self._launch(name, ("unshare", *NAMESPACES, *init))
        try:
            wait_until(lambda: has_network(process.pid), _SECONDS_TO_START, f"{name} has no network namespace")
            words = ("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", str(process.pid))
            self._in_switch(*words)
            self._in_switch("ip", "link", "set", name, "master", "switch", "up")
        except BaseException:  # Ctrl-C too; a machine without a cable is not on
            self._kill(name)
            raise

    def _wait_for_engine(self, name: str) -> None:
        engine, log = self.engine(name), self.folder / "logs" / f"{name}.log"

        def answers() -> bool:
            if self._running[name].ended():
                raise ClusterError(f"the engine of {name} has ended: {' '.join(read_last_lines(log, 1))}")
            try:
                engine.docker("version", timeout=5.0)
            except ClusterError:
                return False
            return True

        wait_until(answers, _SECONDS_TO_START, f"the engine of {name} does not answer")

    def _load_images(self, name: str) -> None:
        if self._images:
            load_images(self.engine(name), self._images)

    def _kill(self, name: str) -> None:
        # Its end of the cable goes with it, and so do the rules of its network.
        process = self._running.pop(name)
        for done in (self._cut, self._isolated):
            done.discard(name)
        process.kill()
        wait_until(process.ended, _SECONDS_TO_START, f"{name} did not end")

    def _launch(self, name: str, command: Sequence[str]) -> Process:
        assert self._reaper is not None, "they are started"
        return self._reaper.start(command, make_environment({}), self.folder / "logs" / f"{name}.log", self.folder)

    def _change_rules(self, name: str, action: str) -> None:
        """Add or remove the rules that isolate a manager, both of them or none."""
        drop = f"--protocol tcp --match multiport --ports {_PORT} --jump DROP"
        rules = (
            f"*filter\n{action} INPUT --in-interface eth0 {drop}\n{action} OUTPUT --out-interface eth0 {drop}\nCOMMIT\n"
        )
        _in_network(f"/proc/{self._running[name].pid}/ns/net", ("iptables-restore", "--wait", "--noflush"), rules)

    def _disk(self, name: str) -> Path:
        self._require_known(name)
        return self.folder / name

    def _require_known(self, name: str) -> None:
        if name not in self.names:
            raise ClusterError(f"unknown machine {name!r}: the machines are {', '.join(self.names)}")

    @property
    def _cgroup(self) -> str:
        return f"session-cluster-{self._subnet.replace('.', '-')}"

    def _namespace(self) -> str:
        assert self._switch is not None, "they are started"
        return f"/proc/{self._switch.pid}/ns/net"

    def _has_switch(self) -> bool:
        try:
            self._in_switch("ip", "link", "show", "switch")
        except ClusterError:
            return False
        return has_network(self._switch.pid) if self._switch else False

    def _in_switch(self, *command: str) -> None:
        _in_network(self._namespace(), command)
