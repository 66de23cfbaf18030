"""The runtime "commands": a shell command for each action, so that kubectl, nomad, systemctl or ssh will do."""

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from deploy import ClusterError, Member, MemberState, Role
from deploy.waiting import holds_within
from loadtest.described.description import TargetDescription
from loadtest.described.names import name_members, role_of
from loadtest.described.runtime import DescribedCluster
from loadtest.described.shell import DoneCommand
from loadtest.faults import Ability

_SECONDS_KNOWN = 1.0
"""How long the answer of the command `state` counts."""
_SECONDS_GONE = 5.0
"""Nothing of what a command put into the background is left: a daemon that it started has this long to answer."""
_POLL = 0.1
_STATES = {state.value: state for state in (MemberState.RUNNING, MemberState.PAUSED, MemberState.ENDED)}
_ACTIONS = {
    Ability.KILL: ("kill", "restart"),
    Ability.PAUSE: ("pause", "resume"),
    Ability.RESTART: ("restart",),
}
"""The actions that each ability needs: what breaks a member, and what repairs it."""


class CommandsCluster(DescribedCluster):
    """Members that only commands can reach. Without a command `state` they are as the last command left them."""

    def __init__(self, description: TargetDescription) -> None:
        super().__init__(description)
        self._own = name_members({role: list(getattr(self.runtime.roles, role.value)) for role in Role})
        self._left = dict.fromkeys(self._own, MemberState.RUNNING)
        self._nodes: int | None = None
        self._known: dict[str, tuple[float, MemberState]] = {}
        self._ran: set[str] = set()
        """Members that the command `state` has called running since they were changed."""
        self._done: dict[str, DoneCommand] = {}
        """The commands that started members: `setup`, "" here, and `restart`."""
        self._lock = threading.Lock()

    def own_names(self) -> Mapping[str, str]:
        return self._own

    @property
    def node_count(self) -> int:
        return super().node_count if self._nodes is None else self._nodes

    def members(self) -> tuple[Member, ...]:
        return tuple(
            Member(name, role_of(name), "", None, "", self._look(name), "" if own == name else own)
            for name, own in self._own.items()
        )

    def log_lines(self, name: str, count: int) -> tuple[str, ...]:
        self._find(name)
        return tuple(self._act("log", name).output.splitlines()[-count:])

    def _start(self) -> None:
        self._left = dict.fromkeys(self._own, MemberState.RUNNING)
        self._ran.clear()
        self._done.clear()
        if (done := self._set_up()) is not None:
            self._done[""] = done
            holds_within(self._has_come_up, self.runtime.start_timeout, _POLL)
            self._require_alive()
        if ended := [name for name in self._own if self._look(name) is not MemberState.RUNNING]:
            raise ClusterError(f"{self.show(ended[0])} is {self._look(ended[0])}: start it first")

    def _has_come_up(self) -> bool:
        """Return whether all members run, or one has ended."""
        return all(self._look(name) is MemberState.RUNNING or self._find_end(name) for name in self._own)

    def _stop(self) -> None:
        """Do nothing: nothing was started."""

    def _list_own(self) -> dict[str, Any]:
        return {"left": {name: state.value for name, state in self._left.items() if name in self._broken}}

    def _take_over(self, own: Mapping[str, Any]) -> None:
        self._left |= {name: MemberState(state) for name, state in own["left"].items()}
        if self._scaled_from is not None:
            self._nodes = 0  # not known: any number is another one

    def _refuse(self, ability: Ability, _: str) -> str:
        missing = [action for action in _ACTIONS[ability] if getattr(self.runtime.actions, action) is None]
        return _lacks(missing[0]) if missing else ""

    def _refuse_scale(self) -> str:
        return "" if self.runtime.actions.scale is not None else _lacks("scale")

    def _kill(self, name: str) -> None:
        self._change("kill", name, MemberState.ENDED)

    def _pause(self, name: str) -> None:
        self._change("pause", name, MemberState.PAUSED)

    def _resume(self, name: str) -> None:
        self._change("resume", name, MemberState.RUNNING)

    def _restart(self, name: str) -> None:
        self._change("restart", name, MemberState.RUNNING)

    def _scale(self, nodes: int) -> None:
        assert self.runtime.actions.scale is not None
        self.run(self.runtime.actions.scale, "runtime", "actions", "scale", nodes=str(nodes))
        self._nodes = nodes

    def _is_ready(self, name: str) -> bool:
        if self.runtime.actions.ready is None:
            return super()._is_ready(name)
        with suppress(ClusterError):
            self._act("ready", name)
            return True
        return False

    def _find_end(self, name: str) -> str:
        ended = self.runtime.actions.state is None or self._look(name) is MemberState.ENDED
        if ended and name in self._ran:
            return "has ended"
        done = self._done.get(name) or self._done.get("")
        return "has ended" if ended and done is not None and done.seconds_gone() > _SECONDS_GONE else ""

    def _last_line(self, name: str) -> str:
        """Return the last line of its log; without a command `log`, that of what started it."""
        if self.runtime.actions.log is not None:
            return super()._last_line(name)
        done = self._done.get(name) or self._done.get("")
        return "it printed nothing" if done is None else done.last_line()

    def _change(self, action: str, name: str, state: MemberState) -> None:
        """Run a command that changes a member. It may have had its effect even if it fails."""
        self._left[name] = state
        self._note()
        with self._lock:
            self._known.pop(name, None)
            self._ran.discard(name)
        done = self._act(action, name)
        if state is MemberState.RUNNING:
            self._done[name] = done

    def _act(self, action: str, name: str) -> DoneCommand:
        command = getattr(self.runtime.actions, action)
        if command is None:
            raise ClusterError(_lacks(action))
        return self.run(command, "runtime", "actions", action, member=self._own[name])

    def _look(self, name: str) -> MemberState:
        """Return the state that the command `state` prints: running, paused or ended."""
        if self.runtime.actions.state is None:
            return self._left[name]
        with self._lock:
            at, state = self._known.get(name, (0.0, MemberState.UNKNOWN))
            if time.monotonic() - at > _SECONDS_KNOWN or state is MemberState.UNKNOWN:
                printed = self._act("state", name).output.strip().lower()
                if printed not in _STATES:
                    where = self.description.where("runtime", "actions", "state")
                    raise ClusterError(f"{where}: state must print {', '.join(_STATES)}, not {printed[:40]!r}")
                state = _STATES[printed]
                self._known[name] = time.monotonic(), state
                if state is MemberState.RUNNING:
                    self._ran.add(name)
            return state


def _lacks(action: str) -> str:
    return f"the runtime commands has no action {action}"
