"""`--profile console`: a container without access to the engine watches the cluster and its own users."""

from __future__ import annotations

import json
import re
import shlex
import subprocess

import pytest

from tests.docker.compose.project import Compose
from tests.support.console_client import ConsoleClient
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(400)

PROFILE = {"COMPOSE_PROFILES": "console", "CONSOLE_USERS": "5"}


@pytest.fixture(scope="module", autouse=True)
def started(compose: Compose) -> None:
    compose.up(**PROFILE)


@pytest.fixture
def address(compose: Compose) -> str:
    """The address in the log."""
    found = re.findall(r"Open (\S+)", compose("logs", "console", **PROFILE))[-1]
    assert str(found).startswith(f"http://127.0.0.1:{compose.console_port}/console/?token=")
    return str(found)


@pytest.fixture
def console(address: str) -> ConsoleClient:
    return ConsoleClient(address)


def test_it_is_unprivileged_and_reaches_neither_the_engine_nor_the_store(compose: Compose, address: str) -> None:
    described = json.loads(compose("config", "--format", "json", COMPOSE_PROFILES="*"))["services"]
    mounted = [volume["source"] for service in described.values() for volume in service.get("volumes", [])]
    assert not [source for source in mounted if source.endswith(".sock") or source.startswith(("/var/run", "/run"))]
    one = compose.containers()["console-1"]
    settings = one["HostConfig"]
    assert (one["Config"]["User"], settings["ReadonlyRootfs"], settings["CapDrop"]) == ("app", True, ["ALL"])
    assert [port for ports in settings["PortBindings"].values() for port in ports] == [
        {"HostIp": "127.0.0.1", "HostPort": str(compose.console_port)}
    ]
    assert set(one["NetworkSettings"]["Networks"]) == {f"{compose.name}_{name}" for name in ("outside", "app")}
    assert address.partition("=")[2] not in json.dumps(one["Config"])
    assert ConsoleClient(address[:-1]).answer("state")[0] == 403


def test_it_sees_what_is_killed_paused_and_added_outside_by_its_own_commands(
    compose: Compose, console: ConsoleClient
) -> None:
    def state(name: str) -> str:
        return str(console.member(name)["state"])

    def type_command(do: str, argument: str = "") -> None:
        why = console.state()["refused"][f"{do} {argument}".strip()]
        command = ["sh", "-c", why["values"]["command"]]

        def works() -> bool:  # people try again: Docker can't pause each container at each moment
            return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0

        wait_until(works, f"{command} works", 30)

    def rate(name: str) -> float:
        return float((console.member(name).get("figures") or {"rate": 0})["rate"])

    wait_until(lambda: console.operations() > 30, "its users have arrived", 110)
    wait_until(lambda: rate("node-2") > 0, "node-2 counts requests", 30)
    assert console.state()["cluster"]["url"] == compose.url
    assert (state("store"), console.member("node-1")["reaches_store"]) == ("unknown", True)

    status, refusal = console.answer("commands", {"do": "kill", "on": "node-2"})
    assert (status, refusal["error"]) == (409, f"type it: docker kill {compose.name}-node-2")
    type_command("kill", "node-2")
    wait_until(lambda: state("node-2") == "ended", "the page shows it", 30)
    seen = console.operations()
    wait_until(lambda: console.operations() > seen + 20, "its users go on", 60)
    assert any(one["text"] == "node-2 has ended" for one in console.ask("log"))
    type_command("undo")
    wait_until(lambda: state("node-2") == "running", "the node is back", 60)

    type_command("pause", "store")
    wait_until(lambda: console.member("node-1")["reaches_store"] is False, "nodes do not reach the store", 30)
    type_command("undo")
    wait_until(lambda: console.member("node-1")["reaches_store"] is True, "they reach it again", 30)
    type_command("pause", "node-1")
    wait_until(lambda: state("node-1") == "silent", "the page shows it", 30)
    type_command("resume", "node-1")
    wait_until(lambda: state("node-1") == "running", "it answers again", 30)

    scale = console.state()["refused"]["nodes 3"]["values"]["command"]
    words = shlex.split(scale)
    assert words[:4] == ["docker", "compose", "--project-name", compose.name]
    compose(*words[4:])
    wait_until(lambda: state("node-3") == "running", "the page follows", 60)
    assert console.state()["figures"]["users_logged_out"] == 0
    console.ask("commands", {"do": "users", "to": "0"})
    wait_until(lambda: console.state()["load"]["state"] == "none", "its load is off", 30)


def test_a_session_is_followed_at_the_shop_and_at_each_node(console: ConsoleClient) -> None:
    wait_until(lambda: console.member("node-1")["state"] == "running", "it watches", 110)
    console.assert_session_works("node-1", "node-2")


def test_it_keeps_its_address_when_it_is_restarted(compose: Compose, address: str) -> None:
    compose("restart", "console", **PROFILE)
    wait_until(lambda: compose("logs", "console", **PROFILE).count(address) == 2, "it prints the address again", 60)


def test_it_follows_an_up_with_other_settings_that_does_not_name_it(compose: Compose, address: str) -> None:
    console = ConsoleClient(address)

    def shown() -> tuple[str, str]:
        try:
            cluster = console.state()["cluster"]
        except OSError:
            return "", ""  # it starts again
        return str(cluster["store"]), str(cluster["policy"])

    wait_until(lambda: shown() == ("redis", "round_robin"), "it watches", 110)
    compose.up(SESSION_STORE="memory", BALANCE="sticky")
    wait_until(lambda: shown() == ("memory", "sticky"), "it has the new settings", 110)
