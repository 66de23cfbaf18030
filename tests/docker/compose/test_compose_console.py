"""`--profile console`: a container without access to the engine watches the cluster and its own users."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.error
import urllib.request
from typing import Any

import pytest

from tests.docker.compose.project import Compose
from tests.support.waiting import wait_until

PROFILE = {"COMPOSE_PROFILES": "console", "CONSOLE_USERS": "5"}


@pytest.fixture(scope="module", autouse=True)
def started(compose: Compose) -> None:
    compose.up(**PROFILE)


@pytest.fixture
def token(compose: Compose) -> str:
    """The token in the address that the log has."""
    found = re.findall(r"Open (http://\S+)/console/\?token=(\S+)", compose("logs", "console", **PROFILE))
    assert found[-1][0] == f"http://127.0.0.1:{compose.console_port}"
    return str(found[-1][1])


def ask(compose: Compose, token: str, path: str, order: dict[str, str] | None = None) -> tuple[int, Any]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{compose.console_port}/console/{path}",
        None if order is None else json.dumps(order).encode(),
        {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_it_is_unprivileged_and_reaches_neither_the_engine_nor_the_store(compose: Compose, token: str) -> None:
    described = json.loads(compose("config", "--format", "json", COMPOSE_PROFILES="*"))["services"]
    mounted = [volume["source"] for service in described.values() for volume in service.get("volumes", [])]
    assert not [source for source in mounted if source.endswith(".sock") or source.startswith("/var/run")]
    one = compose.containers()["console-1"]
    settings = one["HostConfig"]
    assert (one["Config"]["User"], settings["ReadonlyRootfs"], settings["CapDrop"]) == ("app", True, ["ALL"])
    assert [port for ports in settings["PortBindings"].values() for port in ports] == [
        {"HostIp": "127.0.0.1", "HostPort": str(compose.console_port)}
    ]
    assert set(one["NetworkSettings"]["Networks"]) == {f"{compose.name}_{name}" for name in ("outside", "app")}
    assert ask(compose, "wrong", "state")[0] == 403
    assert token not in json.dumps(one["Config"])


def test_it_sees_a_node_that_is_killed_outside_and_shows_the_commands_to_type(compose: Compose, token: str) -> None:
    def state() -> Any:
        return ask(compose, token, "state")[1]

    def member(name: str) -> Any:
        return next((one for one in state()["members"] if one["name"] == name), {"state": ""})

    def operations() -> int:
        figures = state()["figures"]
        return figures["operations"] if figures else 0

    def command(do: str, argument: str) -> list[str]:
        return str(state()["refused"][f"{do} {argument}".strip()]["values"]["command"]).split()

    wait_until(lambda: operations() > 30, "its users arrived", 60)
    wait_until(lambda: (member("node-2").get("figures") or {"rate": 0})["rate"] > 0, "node-2 counts requests", 30)
    assert state()["cluster"]["url"] == compose.url
    assert (member("store")["state"], member("node-1")["reaches_store"]) == ("unknown", True)

    status, refusal = ask(compose, token, "commands", {"do": "kill", "on": "node-2"})
    kill = command("kill", "node-2")
    assert (status, refusal["error"]) == (409, f"type it: {' '.join(kill)}")
    subprocess.run(kill, check=True, capture_output=True, timeout=60)
    wait_until(lambda: member("node-2")["state"] == "ended", "the page shows it", 30)
    seen = operations()
    wait_until(lambda: operations() > seen + 20, "its users go on", 60)
    assert any(one["text"] == "node-2 has ended" for one in ask(compose, token, "log")[1])

    undo = " ".join(command("undo", ""))
    subprocess.run(undo, shell=True, check=True, capture_output=True, timeout=60)
    wait_until(lambda: member("node-2")["state"] == "running", "the node is back", 60)
    assert state()["figures"]["users_logged_out"] == 0

    subprocess.run(command("pause", "node-1"), check=True, capture_output=True, timeout=60)
    wait_until(lambda: member("node-1")["state"] == "silent", "the page shows it", 30)
    subprocess.run(command("resume", "node-1"), check=True, capture_output=True, timeout=60)
    wait_until(lambda: member("node-1")["state"] == "running", "it answers again", 30)

    compose("up", "--detach", "--no-build", "--no-deps", "--no-recreate", "--scale", "node=3", "node")
    wait_until(lambda: member("node-3")["state"] == "running", "the page follows", 60)
    assert ask(compose, token, "commands", {"do": "users", "to": "0"})[0] == 202
    wait_until(lambda: state()["load"]["state"] == "none", "its load is off", 30)


def test_the_session_view_sends_requests_to_the_shop_and_to_each_node(compose: Compose, token: str) -> None:
    done: list[Any] = []

    def step(do: str, on: str = "") -> Any:
        """Carry out a step as the visitor of the cookie of the first answer."""
        place = f"http://127.0.0.1:{compose.console_port}/console/session/steps"
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        if done:
            headers["Cookie"] = done[0]
        body = json.dumps({"do": do, "on": on}).encode()
        with urllib.request.urlopen(urllib.request.Request(place, body, headers), timeout=20) as answer:
            done.extend([answer.headers["Set-Cookie"].partition(";")[0]] if not done else [])
            found = json.load(answer)
        return found["exchanges"][-1], found

    step("login")
    cart, found = step("cart")
    assert (cart["status"], found["record"]["found"]) == (200, "foreign")
    for node in ("node-1", "node-2"):
        asked, _ = step("ask", node)
        assert (asked["status"], asked["via"], json.loads(asked["response_body"])["user"]) == (200, node, found["user"])
    step("logout")
    replayed, _ = step("replay")
    assert json.loads(replayed["response_body"])["user"] is None


def test_it_keeps_its_address_when_it_is_restarted(compose: Compose, token: str) -> None:
    compose("restart", "console", **PROFILE)
    wait_until(lambda: compose("logs", "console", **PROFILE).count(token) == 2, "it prints the address again", 60)
