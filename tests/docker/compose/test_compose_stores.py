"""Every store of compose.yaml, one after another in one project, as a person changes it; and TLS."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.docker.compose.project import Compose
from tests.support.traffic import Visitor, served_by
from tests.support.waiting import wait_until

NODES = {"node-1", "node-2"}


@dataclass(frozen=True)
class Choice:
    """The settings of a store, and the servers that it starts. `profiles` are those of compose.yaml."""

    settings: dict[str, str]
    profiles: tuple[str, ...] = ()

    @property
    def servers(self) -> set[str]:
        return NODES | {"express-1"} if "express" in self.profiles else NODES


SHARED = {
    "file": Choice({"SESSION_STORE": "file"}),
    "sqlite": Choice({"SESSION_STORE": "sql"}),
    "mysql": Choice({"SESSION_STORE": "sql", "DATABASE": "mysql"}, ("mysql",)),
    "postgres": Choice({"SESSION_STORE": "sql", "DATABASE": "postgres"}, ("postgres",)),
    "express": Choice({"SESSION_STORE": "express"}, ("express",)),
    "redis": Choice({"SESSION_STORE": "redis"}),
}
ON_A_DISK = ("file", "mysql", "postgres")


def start(compose: Compose, choice: Choice) -> None:
    profiles = [word for profile in choice.profiles for word in ("--profile", profile)]
    compose(*profiles, "up", "--detach", "--wait", "--no-build", "--remove-orphans", **choice.settings)
    # The nodes were recreated at other addresses, which the proxy learns from Docker's DNS within some seconds.
    wait_until(lambda: served_by(compose.url, 6) == choice.servers, "all of them serve")


@pytest.mark.parametrize("name", SHARED)
def test_a_session_is_shared_by_all_servers_and_ends_on_all_of_them(compose: Compose, name: str) -> None:
    """And what lies on a disk outlives the containers."""
    choice = SHARED[name]
    start(compose, choice)
    browser = Visitor(compose.url)
    browser.log_in(compose.passwords())
    writers = {(answer := browser.post("/visits", {})).node: answer.json["visits"] for _ in range(4)}
    assert max(writers.values()) == 4
    readers = [browser.get("/me") for _ in range(6)]
    assert {answer.node for answer in readers} == choice.servers
    assert {(answer.json["user"], answer.json["visits"]) for answer in readers} == {("alice", 4)}
    replayed = dict(browser.cookies)
    assert browser.post("/logout", {}).status == 204
    browser.cookies = replayed
    assert {browser.get("/me").json["user"] for _ in range(6)} == {None}
    if name in ON_A_DISK:
        visitor = Visitor(compose.url)
        assert visitor.post("/visits", {}).status == 200
        compose("--profile", "*", "down", "--timeout", "5")
        start(compose, choice)
        assert visitor.get("/me").json["visits"] == 1


def test_with_sessions_in_memory_each_node_has_its_own(compose: Compose) -> None:
    start(compose, Choice({"SESSION_STORE": "memory"}))
    browser = Visitor(compose.url)
    browser.log_in(compose.passwords())
    assert {browser.get("/me").json["user"] for _ in range(4)} == {"alice", None}


def test_the_express_application_refuses_nodes_that_do_not_share_with_it(compose: Compose) -> None:
    start(compose, Choice({"SESSION_STORE": "redis"}))
    compose("--profile", "express", "up", "--detach", "--no-build", "--no-deps", "express", SESSION_STORE="redis")
    wait_until(
        lambda: "nodes share their sessions with SESSION_STORE=express" in compose("logs", "express"), "it says so"
    )
    assert served_by(compose.url, 6) == NODES
    compose("--profile", "express", "rm", "--stop", "--force", "express")


def test_over_tls_the_cookie_has_the_host_prefix(compose: Compose, tmp_path: Path) -> None:
    start(compose, Choice({}, ("tls",)))
    authority = compose("run", "--rm", "--no-deps", "setup", "certificate")
    (tmp_path / "ca.pem").write_text(authority)
    visitor = Visitor(f"https://127.0.0.1:{compose.tls_port}", tmp_path / "ca.pem")
    (cookie,) = visitor.ask("POST", "/visits", {}).headers.get_all("Set-Cookie", [])
    assert cookie.startswith("__Host-session=")
    assert "; Secure" in cookie
    answers = [visitor.ask("GET", "/me") for _ in range(4)]
    assert {(answer.node, answer.json["visits"]) for answer in answers} == {("node-1", 1), ("node-2", 1)}
    assert Visitor(compose.url).get("/me").status == 200, "and the plain proxy goes on"
