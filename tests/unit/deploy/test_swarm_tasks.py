"""Which container of a task is the member, and in which state: of one that was replaced, or whose machine is away."""

import re
from collections.abc import Mapping
from typing import Any, cast

import pytest
import yaml

from deploy.cluster import MemberState
from deploy.compose.docker import Engine
from deploy.spec import ClusterError
from deploy.swarm.settings import STACK
from deploy.swarm.stack import Stack, StackService, Task, _update_state
from deploy.swarm.tasks import TaskContainer, find_replaced, find_tasks, make_member, parse_container

NODES = {"Labels": {"com.docker.swarm.service.name": "shop_node", "com.docker.swarm.task.name": "shop_node.2.abc"}}


def describe(status: str = "running", created: str = "2026-01-01T00:00:00Z", **labels: str) -> dict[str, Any]:
    return {
        "Id": f"id-{created}",
        "Name": "/shop_node.2.abc",
        "Config": {"Labels": {**NODES["Labels"], **labels}},
        "NetworkSettings": {"Networks": {"shop_app": {"IPAddress": "10.0.1.4"}, "shop_store": {"IPAddress": ""}}},
        "State": {"Status": status, "Health": {"Status": "healthy"}},
        "Created": created,
    }


def container(machine: str = "machine-1", **more: str) -> TaskContainer:
    return parse_container("shop", machine, describe(**more), 42)


def member_of(*containers: TaskContainer, away: frozenset[str] = frozenset()) -> Any:
    found = find_tasks(containers, away, {2}, ())
    return make_member("node-2", found["node-2"], away, False)


def test_a_container_is_known_by_the_labels_of_swarm() -> None:
    one = container()
    assert (one.service, one.slot, one.key, one.serves) == ("node", 2, ("node", 2, ""), True)
    assert one.addresses == {"app": "10.0.1.4"}
    member = member_of(one)
    assert (member.name, member.address, member.pid, member.state) == (
        "node-2",
        "10.0.1.4:8000",
        42,
        MemberState.RUNNING,
    )


def test_a_container_that_replaced_another_one_is_the_member() -> None:
    dead, new = container(status="exited"), container(created="2026-01-01T00:00:09Z")
    assert member_of(dead).state is MemberState.ENDED
    assert member_of(dead).pid is None
    assert member_of(new, dead).state is MemberState.RUNNING


def test_one_that_runs_is_the_member_and_not_a_newer_one_that_is_only_prepared() -> None:
    prepared = container(status="created", created="2026-01-01T00:00:09Z")
    assert member_of(container(), prepared).state is MemberState.RUNNING


def test_a_member_on_a_machine_that_is_away_is_silent_until_swarm_has_another() -> None:
    away, old = frozenset({"machine-3"}), container("machine-3")
    assert member_of(old, away=away).state is MemberState.SILENT
    assert (
        member_of(old, container("machine-1", created="2025-01-01T00:00:00Z"), away=away).state is MemberState.RUNNING
    )


def test_one_that_runs_on_after_its_machine_came_back_is_found() -> None:
    old, new = container("machine-3"), container("machine-1", created="2026-01-01T00:00:09Z")
    both, tasks = [old, new], [new, None]
    assert find_replaced(both, tasks, {"machine-3"}) == (), "nothing reaches it"
    assert find_replaced(both, tasks, ()) == (old,)
    ended = container("machine-3", status="exited")
    assert find_replaced([ended, new], tasks, ()) == ()


def test_each_machine_has_a_proxy_and_what_is_missing_has_ended() -> None:
    labels = {"com.docker.swarm.service.name": "shop_proxy", "com.docker.swarm.task.name": "shop_proxy.nodeid.abc"}
    proxy = parse_container("shop", "machine-2", describe(**labels), 7)
    found = find_tasks([proxy], (), {1}, ("machine-1", "machine-2"))
    assert {name: one is not None for name, one in found.items()} == {
        "proxy-1": False,
        "proxy-2": True,
        "node-1": False,
        "store": False,
    }
    assert make_member("proxy-1", None, (), False).state is MemberState.ENDED


@pytest.mark.parametrize(
    ("service", "state"),
    [
        ({"Spec": {"TaskTemplate": 1}}, None),
        ({"Spec": {"TaskTemplate": 1}, "PreviousSpec": {"TaskTemplate": 1}}, None),
        ({"Spec": {"TaskTemplate": 2}, "PreviousSpec": {"TaskTemplate": 1}}, ""),
        ({"Spec": {"TaskTemplate": 2, "EndpointSpec": 1}, "PreviousSpec": {"TaskTemplate": 2}}, ""),
        ({"Spec": {"TaskTemplate": 2}, "UpdateStatus": {"State": "rollback_completed"}}, "rollback_completed"),
    ],
)
def test_an_update_that_has_not_begun_is_told_from_none(service: Mapping[str, Any], state: str | None) -> None:
    assert _update_state(service) == state


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("rollback_completed", "the update of node was rolled back: exec failed"),
        ("paused", "the update of node is paused: exec failed"),
        ("rollback_paused", "the update of node failed, and its rollback is paused: exec failed"),
    ],
)
def test_an_update_that_stopped_is_named_by_its_state_and_the_error_of_its_task(
    monkeypatch: pytest.MonkeyPatch, state: str, said: str
) -> None:
    tasks = [Task(name, "m1", "shop:1", "Shutdown", "Failed", error) for name, error in
             (("node-exporter.1", "of another service"), ("node.1", "exec failed"))]  # fmt: skip
    monkeypatch.setattr(Stack, "updates", lambda _: {"node": state})
    monkeypatch.setattr(Stack, "tasks", lambda _: tasks)
    with pytest.raises(ClusterError) as raised:
        Stack("shop").wait_deployed(5)
    assert str(raised.value) == said


class Electing:
    """An engine whose managers have a leader from the third question on, or refuse for another reason."""

    host = ""

    def __init__(self, *refusals: str) -> None:
        self.refusals = list(refusals)

    def docker(self, *_: str, timeout: float) -> str:
        if self.refusals:
            raise ClusterError(f"docker service: Error response from daemon: rpc error: {self.refusals.pop(0)}")
        return "shop_node\t3/3\n"


def test_a_stack_is_asked_again_while_the_managers_elect_a_leader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.swarm.stack._ELECTION_POLL", 0.0)
    no_leader = "code = Unknown desc = The swarm does not have a leader."
    engine = Electing(no_leader, "code = DeadlineExceeded desc = context deadline exceeded")
    assert Stack("shop", cast(Engine, engine)).services() == [StackService("node", 3, 3)]
    with pytest.raises(ClusterError, match="only one version"):
        Stack("shop", cast(Engine, Electing("only one version"))).services()
    monkeypatch.setattr("deploy.swarm.stack._SECONDS_TO_ELECT", 0.0)
    with pytest.raises(ClusterError, match="does not have a leader"):
        Stack("shop", cast(Engine, Electing(*[no_leader] * 9))).services()


def test_a_redis_that_loads_its_file_or_stalls_is_not_ended() -> None:
    """As Kubernetes: start is given 10 minutes, and what answers LOADING is alive."""
    check = yaml.safe_load(STACK.read_text())["services"]["redis"]["healthcheck"]
    assert check["start_period"] == "600s"
    seconds = int(check["interval"].rstrip("s")) * check["retries"]
    assert seconds >= 60
    (condition,) = re.findall(r'grep -qE "(.*)"', check["test"][1])
    said = ("PONG", "LOADING Redis is loading the dataset in memory")
    assert all(re.search(condition, each) for each in said)
    silent = ("Could not connect to Redis at 127.0.0.1:6379: Connection refused", "WRONGPASS invalid username", "")
    assert not any(re.search(condition, each) for each in silent)
