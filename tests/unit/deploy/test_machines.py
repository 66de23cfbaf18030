"""What was done to machines is known and undone, whatever the order. Nothing of them runs."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deploy.spec import ClusterError
from deploy.swarm.machines import Machines, MachineState

ONE, TWO, THREE = (f"machine-{number}" for number in (1, 2, 3))


class Fakes(Machines):
    """Machines whose cables, rules and availabilities are only noted."""

    def __init__(self) -> None:
        super().__init__([])
        self.up = dict.fromkeys(self.names, True)
        self.rules = dict.fromkeys(self.names, 0)
        self.availability = dict.fromkeys(self.names, "active")
        self.killed: list[str] = []
        self.stubborn: set[str] = set()
        self.closed_parts: list[str] = []
        self.quorum_after = 1
        """The time at which the managers are asked and have one."""
        self._state: Any = SimpleNamespace(path=Path("/nowhere"), close=lambda: self.closed_parts.append("state"))
        self._reaper: Any = SimpleNamespace(close=lambda: self.closed_parts.append("reaper"))
        for name in self.names:
            self._boot(name)

    def _in_switch(self, *command: str) -> None:
        self.up[command[3]] = command[4] == "up"

    def _boot(self, name: str) -> None:
        def kill() -> None:
            self.killed.append(name)
            if name in self.stubborn:
                raise ClusterError(f"{name} did not end")

        process: Any = SimpleNamespace(kill=kill, ended=lambda: True)
        self._running[name] = process
        self.up[name], self.rules[name] = True, 0

    def _wait_for_engine(self, name: str) -> None:
        if name in self.stubborn:
            raise ClusterError(f"the engine of {name} does not answer")

    def _change_rules(self, name: str, action: str) -> None:
        self.rules[name] += {"--insert": 1, "--delete": -1}[action]

    def _set_availability(self, name: str, availability: str) -> None:
        self.availability[name] = availability

    def has_quorum(self) -> bool:
        self.quorum_after -= 1
        return self.quorum_after <= 0


@pytest.fixture
def machines() -> Fakes:
    return Fakes()


def is_whole(machines: Fakes) -> bool:
    return (
        all(machines.up.values())
        and not any(machines.rules.values())
        and set(machines.availability.values()) == {"active"}
        and set(machines.states.values()) == {MachineState.RUNNING}
        and not machines.unreachable
    )


@pytest.mark.parametrize(
    "done",
    [
        ["cut_off", "isolate_manager"],
        ["isolate_manager", "cut_off"],
        ["cut_off", "isolate_manager", "rejoin_manager"],
        ["isolate_manager", "cut_off", "connect"],
        ["cut_off", "kill"],
        ["isolate_manager", "kill"],
        ["drain", "cut_off", "isolate_manager", "kill"],
    ],
)
def test_restore_undoes_all_that_was_done_to_a_machine(machines: Fakes, done: list[str]) -> None:
    for each in done:
        getattr(machines, each)(TWO)
    assert not is_whole(machines)
    machines.restore()
    assert is_whole(machines)


def test_a_machine_whose_manager_is_isolated_is_reachable_until_its_cable_is_cut(machines: Fakes) -> None:
    machines.isolate_manager(TWO)
    assert not machines.unreachable
    assert machines.states[TWO] is MachineState.ISOLATED
    machines.cut_off(TWO)
    assert machines.unreachable == {TWO}
    assert machines.states[TWO] is MachineState.CUT_OFF
    machines.connect(TWO)
    machines.rejoin_manager(TWO)
    assert is_whole(machines)


def test_a_manager_is_isolated_once_and_rejoins_once(machines: Fakes) -> None:
    for _ in range(2):
        machines.isolate_manager(TWO)
    assert machines.rules[TWO] == 1
    for _ in range(2):
        machines.rejoin_manager(TWO)
    assert is_whole(machines)


@pytest.mark.parametrize("done", ["isolate_manager", "drain"])
def test_machines_are_restored_when_their_managers_have_a_quorum_again(machines: Fakes, done: str) -> None:
    getattr(machines, done)(TWO)
    machines.quorum_after = 2
    machines.restore()
    assert machines.quorum_after == 0
    assert is_whole(machines)


@pytest.mark.parametrize("action", ["kill", "cut_off", "connect", "isolate_manager", "rejoin_manager"])
def test_what_needs_a_machine_that_is_on_is_refused_in_one_line(machines: Fakes, action: str) -> None:
    machines.kill(TWO)
    with pytest.raises(ClusterError, match=r"^machine-2 is off: switch it on first$"):
        getattr(machines, action)(TWO)
    with pytest.raises(ClusterError, match=r"^unknown machine 'machine-9'"):
        getattr(machines, action)("machine-9")
    assert machines.states == {ONE: "running", TWO: "off", THREE: "running"}
    with pytest.raises(ClusterError, match=r"^machine-1 is not off$"):
        machines.switch_on(ONE)


def test_a_drained_machine_is_drained_after_it_was_closed(machines: Fakes) -> None:
    with machines.closed(ONE):
        assert machines.availability[ONE] == "pause"
    assert machines.availability[ONE] == "active"
    machines.drain(ONE)
    with machines.closed(ONE):
        assert machines.availability[ONE] == "drain"
    assert machines.availability[ONE] == "drain"


def test_an_error_of_one_machine_skips_nothing(machines: Fakes) -> None:
    machines.kill(ONE)
    machines.cut_off(TWO)
    machines.stubborn = {ONE, THREE}
    with pytest.raises(ClusterError, match=r"^the engine of machine-1 does not answer$"):
        machines.restore()
    assert machines.up[TWO]
    machines.killed.clear()
    with pytest.raises(ClusterError, match=r"^machine-3 did not end$"):
        machines.stop()
    assert machines.killed == [TWO, THREE, ONE]
    assert machines.closed_parts == ["reaper", "state"]
    assert machines.states == {}
