"""The cluster of a described target: members of another system, which are broken and repaired.

Three runtimes do that: containers of a compose project, processes, and shell commands. What a runtime starts it ends;
what it finds running it leaves running, and as it was.
"""

import http.client
import os
import shlex
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

from deploy import (
    ClusterError,
    ClusterSpec,
    FaultProxy,
    MachineControl,
    Member,
    MemberState,
    Role,
    StoreKind,
    tcp_proxy,
)
from deploy.local.state import StateDir
from deploy.spec import MOST_NODES
from deploy.steps import run_all
from deploy.store_control import BaseStoreControl
from deploy.waiting import holds_within
from loadtest.described.description import TargetDescription
from loadtest.described.names import role_of
from loadtest.described.reachable import answers, find_refusal
from loadtest.described.reaper import TargetReaper, ToUndo
from loadtest.described.shell import DoneCommand, run_command
from loadtest.faults import Ability, Need
from proxy import Balance

SECONDS_TO_STOP = 5.0
_POLL = 0.1
_ON_MEMBERS = frozenset({Ability.KILL, Ability.PAUSE, Ability.RESTART})


class DescribedCluster(ABC):
    """Part of a `deploy.Cluster`, for one file; the other part is a runtime's. Every method raises ClusterError.

    Members are named by their roles: node-1, node-2, …, store (store-1, … of several), proxy, sentinel-1, …
    """

    versions: Mapping[str, str] = {}

    def __init__(self, description: TargetDescription) -> None:
        assert description.file.runtime is not None, "the file has a runtime"
        self.description, self.runtime = description, description.file.runtime
        self.url = description.file.url
        self.users: Mapping[str, str] = description.file.users.accounts
        self.authority = None if (path := description.file.authority) is None else description.resolve(path)
        self._state: StateDir | None = None
        self._fault_proxy: FaultProxy | None = None
        self._broken: dict[str, None] = {}
        """Members that were changed and are not repaired yet."""
        self._scaled_from: int | None = None
        self._target_reaper = TargetReaper(description.path)

    @abstractmethod
    def members(self) -> tuple[Member, ...]: ...

    @abstractmethod
    def log_lines(self, name: str, count: int) -> tuple[str, ...]: ...

    @abstractmethod
    def own_names(self) -> Mapping[str, str]:
        """Return the name of each member, and that in its own system; also of a system that does not run."""

    def exit_reason(self, _name: str) -> str:
        """Return how a member has ended; empty where that is not known."""
        return ""

    def check(self) -> None:  # noqa: B027  # not every runtime has something to check
        """Raise ClusterError for what the file says of its system and is not so, before anything starts."""

    def refuse(self, need: Need) -> str:
        """Return why it can't do something, in one line; empty if it can. May be asked before it has started."""
        ability, on = need
        if ability is Ability.SCALE:
            return self._refuse_scale()
        if ability is Ability.STORE_PROXY:
            return "" if self.runtime.store_proxy else "the file has no runtime.store_proxy before the store"
        if ability not in _ON_MEMBERS:
            return f"the runtime {self.runtime.kind} can't {ability}"
        names = self.find(on)
        if not names:
            role = Role(on.partition("-")[0])
            if not (have := len(self.find(role))):
                return f"runtime.roles names no {on}"
            return f"it needs {'the only ' if on == role else ''}{on}, and runtime.roles.{role} gives {have}"
        return next(filter(None, (self._refuse(ability, name) for name in names)), "")

    def find(self, on: str) -> list[str]:
        """Return the member of this name, or all members with a Role."""
        return [name for name in self.own_names() if (role_of(name) == on if isinstance(on, Role) else name == on)]

    @property
    def spec(self) -> ClusterSpec:
        count = self.node_count if self._scaled_from is None else self._scaled_from
        return ClusterSpec(nodes=min(max(count, 1), MOST_NODES), users=("nobody",))

    @property
    def node_count(self) -> int:
        return len(self.find(Role.NODE))

    @property
    def policy(self) -> Balance:
        return Balance.ROUND_ROBIN

    @property
    def node_environment(self) -> Mapping[str, str]:
        raise ClusterError("the nodes' store is not known: the cluster is a target's")

    @property
    def machines(self) -> MachineControl:
        raise ClusterError("the machines are not known: the cluster is a target's")

    @property
    def store(self) -> BaseStoreControl:
        control = BaseStoreControl(StoreKind.MEMORY)
        control.fault_proxy = self._fault_proxy
        return control

    @property
    def title(self) -> str:
        """The name of the target."""
        return self.description.file.name or self.description.path.stem

    @property
    def state_folder(self) -> Path:
        """A folder for what its members write, {state} of the file, as long as it runs."""
        if self._state is None:
            raise ClusterError("the target does not run: start it first")
        return self._state.path / "members"

    def environment(self, own_name: str = "") -> dict[str, str]:
        """Return the variables of a member, or of commands: those of this process, and the file's."""
        member = self.runtime.members.get(own_name)
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
        given = {**self.runtime.environment, **(member.environment if member else {})}
        state = {} if self._state is None else {"STATE": str(self.state_folder)}
        return {**os.environ, "PATH": path, **state, **{name: self.fill(text) for name, text in given.items()}}

    @property
    def _places(self) -> dict[str, str]:
        state = "" if self._state is None else str(self.state_folder)
        return {"state": state, "folder": str(self.description.path.parent.resolve())}

    def fill(self, text: str, **values: str) -> str:
        """Return a text of the file with its {member}, {nodes}, {state} and {folder}, which is the file's own."""
        for name, value in (self._places | values).items():
            text = text.replace(f"{{{name}}}", value)
        return text

    def run(self, command: str, *place: str, timeout: float | None = None, **values: str) -> DoneCommand:
        """Run a shell command of the file, which stands at `place`."""
        text = self.fill(command, **{name: shlex.quote(value) for name, value in (self._places | values).items()})
        what = f"{self.description.where(*place)}: {'.'.join(place)}"
        for_ = f" for {value}" if (value := values.get("member", "")) else ""
        folder, seconds = self.description.path.parent.resolve(), timeout or self.runtime.timeout
        return run_command(text, f"{what}{for_}", folder, self.environment(values.get("member", "")), seconds)

    def start(self) -> None:
        """Find what runs, start what does not, and return when all of it answers."""
        if self._state is not None:
            raise ClusterError("the target is running already")
        self._state = StateDir(None)
        self.state_folder.mkdir()
        try:
            if (way := self.runtime.store_proxy) is not None:
                command = [sys.executable, "-S", "-E", tcp_proxy.__file__, way.to, way.listen]
                self._fault_proxy = FaultProxy(command)
            self._start()
            self.wait_ready(self.runtime.start_timeout, starting=True)
        except BaseException:  # Ctrl-C too
            self.stop()
            raise

    def stop(self) -> None:
        """Repair what is broken, and end what was started."""
        if self._state is None:
            return
        try:
            run_all((self._repair, self._stop))
        finally:
            self._broken.clear()
            self._scaled_from = None
            self._target_reaper.close()
            proxy, self._fault_proxy = self._fault_proxy, None
            state, self._state = self._state, None
            try:
                if proxy is not None:
                    proxy.close()
            finally:
                state.close()
                state.remove()

    def take_over(self, left: ToUndo) -> None:
        """Go on where a command was killed: what it left can be stopped."""
        self._state = StateDir.reopen(Path(left.state)) or StateDir(None)  # it has gone with processes
        self._broken = dict.fromkeys(left.broken)
        self._scaled_from = left.scaled_from
        self._take_over(left.own)

    def wait_ready(self, timeout: float = 30.0, *, starting: bool = False) -> None:
        waiting = [member.name for member in self.members() if member.state is MemberState.RUNNING]
        # One that runs may not answer yet, and proxies take turns: each node gets its turn.
        turns = 2 * self.node_count + 1 if starting else 1
        answered = 0

        def all_ready() -> bool:
            if starting:
                self._require_alive()
            waiting[:] = [name for name in waiting if not self._is_ready(name)]
            nonlocal answered
            if waiting:
                return False
            if answers(self.url, http.client.INTERNAL_SERVER_ERROR):
                answered += 1
                return answered >= turns
            answered = 0
            if starting and (why := self._find_silence()):
                raise ClusterError(f"{self.description.where('url')}: {self.url} can't answer: {why}")
            return False

        if not holds_within(all_ready, timeout, _POLL):
            if waiting:
                raise self._silent(waiting, timeout)
            where, why = self.description.where("url"), find_refusal(self.url, http.client.INTERNAL_SERVER_ERROR)
            raise ClusterError(f"{where}: {self.url} did not answer within {timeout:g} s{why and f': {why}'}")

    def kill(self, name: str) -> None:
        self._require(Ability.KILL, name)
        if self._find(name).state is not MemberState.ENDED:
            self._note(broken=name)
            self._kill(name)

    def pause(self, name: str) -> None:
        self._require(Ability.PAUSE, name)
        state = self._find(name).state
        if state is MemberState.ENDED:
            raise ClusterError(f"{self.show(name)} has ended and cannot be paused: restart it first")
        if state is not MemberState.PAUSED:
            self._note(broken=name)
            self._pause(name)

    def resume(self, name: str) -> None:
        if self._find(name).state is MemberState.PAUSED:
            self._resume(name)
            self._note(mended=name)

    def restart(self, name: str) -> None:
        self._require(Ability.RESTART, name)
        self._find(name)
        self._note(broken=name)
        self._restart(name)

        def is_ready() -> bool:
            if not (ready := self._is_ready(name)):
                self._require_alive(name)
            return ready

        if not holds_within(is_ready, self.runtime.start_timeout, _POLL):
            raise self._silent([name], self.runtime.start_timeout)
        self._note(mended=name)

    def scale(self, nodes: int) -> None:
        if why := self._refuse_scale():
            raise ClusterError(why)
        count = self.node_count
        if nodes == count:
            return
        if self._scaled_from is None:
            self._scaled_from = count
        self._note()
        self._scale(nodes)
        if nodes == self._scaled_from:
            self._scaled_from = None
        self._note()
        self.wait_ready(self.runtime.start_timeout)

    def drain(self, name: str) -> None:
        raise ClusterError(f"{name} cannot be drained: the proxy is the target's")

    def move(self, name: str) -> None:
        raise ClusterError(f"{name} cannot be moved: it is the target's")

    def balance(self, policy: Balance) -> None:
        raise ClusterError(f"cannot balance by {policy}: the proxy is the target's")

    def configure(self, node_settings: Mapping[str, str]) -> None:
        raise ClusterError(f"cannot set {', '.join(node_settings)}: the nodes are the target's")

    def roll_out(self, *, broken: bool = False) -> None:
        raise ClusterError(f"{'a broken' if broken else 'a'} release cannot be rolled out: the nodes are the target's")

    def show(self, name: str) -> str:
        """Return both names of a member: "node-2 (shop-web-2)"."""
        own = self.own_names().get(name, name)
        return name if own == name else f"{name} ({own})"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    @abstractmethod
    def _start(self) -> None:
        """Start what does not run, after `setup`."""

    @abstractmethod
    def _stop(self) -> None:
        """End what was started, first gracefully and after some seconds by force."""

    def _note(self, *, broken: str = "", mended: str = "") -> None:
        """Note a member, and tell the reaper what there is to undo if this process is killed from now on."""
        self._broken |= {broken: None} if broken else {}
        self._broken.pop(mended, None)
        going_on, own = tuple(filter(self._outlives, self._broken)), self._list_own()
        state = str(self.state_folder.parent)
        left = ToUndo(state=state, broken=going_on, scaled_from=self._scaled_from, own=own)
        self._target_reaper.note(left if going_on or self._scaled_from is not None or any(own.values()) else None)

    def _outlives(self, _name: str) -> bool:
        """Return whether a member goes on, as it is, after this process was killed."""
        return True

    @abstractmethod
    def _list_own(self) -> dict[str, Any]:
        """Return what the runtime itself has to undo, for `_take_over`; empty values are nothing."""

    @abstractmethod
    def _take_over(self, own: Mapping[str, Any]) -> None:
        """Take over what `_list_own` has returned."""

    def _find_end(self, _name: str) -> str:
        """Return how a member has failed to start: "has ended"; empty if it may still answer."""
        return ""

    def _find_silence(self) -> str:
        """Return why nothing will answer at the address, where all members are ready; empty if something may."""
        return ""

    def _refuse(self, _ability: Ability, _name: str) -> str:
        """Return why a member can't be killed, paused or restarted; empty if it can."""
        return ""

    def _refuse_scale(self) -> str:
        return f"the runtime {self.runtime.kind} can't {Ability.SCALE}"

    @abstractmethod
    def _kill(self, name: str) -> None: ...

    @abstractmethod
    def _pause(self, name: str) -> None: ...

    @abstractmethod
    def _resume(self, name: str) -> None: ...

    @abstractmethod
    def _restart(self, name: str) -> None:
        """Stop a member in any state, gracefully where possible, and start it."""

    def _scale(self, nodes: int) -> None:
        raise ClusterError(f"cannot scale to {nodes} nodes: {self._refuse_scale()}")

    def _is_ready(self, name: str) -> bool:
        """Return whether a member answers its readiness request; without one, whether it runs."""
        spec = self.runtime.members.get(self._own_name(name))
        if spec is not None and spec.ready is not None:
            return answers(spec.ready)
        return self._find(name).state is MemberState.RUNNING

    def _silent(self, names: Sequence[str], timeout: float) -> ClusterError:
        """Return the error for members that are not ready in time, with how the first one answers."""
        own = self._own_name(names[0])
        spec = self.runtime.members.get(own)
        at = "" if spec is None else f"{self.description.where('runtime', 'members', own, 'ready')}: "
        why = "" if spec is None or spec.ready is None else f": {spec.ready}: {find_refusal(spec.ready) or 'late'}"
        return ClusterError(f"{at}{', '.join(map(self.show, names))} did not answer within {timeout:g} s{why}")

    def _own_name(self, name: str) -> str:
        """Return the name that `runtime.roles` has for a member."""
        return self.own_names().get(name, "")

    def _set_up(self) -> DoneCommand | None:
        command = self.runtime.setup
        return None if command is None else self.run(command, "runtime", "setup", timeout=self.runtime.start_timeout)

    def _repair(self) -> None:
        """Repair every member that was changed, and the number of nodes, as far as that is possible."""

        def repair(name: str, state: MemberState, how: Callable[[str], None]) -> None:
            if self._find(name).state is state:
                how(name)

        hows = ((MemberState.PAUSED, self.resume), (MemberState.ENDED, self.restart))
        steps = [partial(repair, name, *how) for how in hows for name in self._broken]
        run_all(steps if self._scaled_from is None else [*steps, partial(self.scale, self._scaled_from)])

    def _require_alive(self, *names: str) -> None:
        for name in names or self.own_names():
            if why := self._find_end(name):
                raise ClusterError(f"{self.show(name)} {why}: {self._last_line(name)}")

    def _last_line(self, name: str) -> str:
        lines = [line.strip() for line in self.log_lines(name, 10) if line.strip()]
        return lines[-1] if lines else "it printed nothing"

    def _find(self, name: str) -> Member:
        members = {member.name: member for member in self.members()}
        if name not in members:
            raise ClusterError(f"the target has no member {name!r}: it has {', '.join(members) or 'none'}")
        return members[name]

    def _require(self, ability: Ability, name: str) -> None:
        if why := self.refuse(Need(ability, name)):
            raise ClusterError(f"cannot {ability} {name}: {why}")
