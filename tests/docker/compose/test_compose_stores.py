"""Every store of compose.yaml, one after another in one project; and TLS."""

from pathlib import Path

import pytest

from tests.docker.compose.project import NODES, Compose
from tests.support.http_client import HttpClient, node_of
from tests.support.traffic import served_by
from tests.support.waiting import wait_until

SHARED = {
    "file": {"SESSION_STORE": "file"},
    "sqlite": {"SESSION_STORE": "sql"},
    "mysql": {"SESSION_STORE": "sql", "DATABASE": "mysql", "COMPOSE_PROFILES": "mysql"},
    "postgres": {"SESSION_STORE": "sql", "DATABASE": "postgres", "COMPOSE_PROFILES": "postgres"},
    "express": {"SESSION_STORE": "express", "COMPOSE_PROFILES": "express"},
    "redis": {"SESSION_STORE": "redis"},
}
ON_A_DISK = ("file", "mysql", "postgres")


@pytest.mark.parametrize("name", SHARED)
def test_a_session_is_shared_by_all_servers_and_ends_on_all_of_them(compose: Compose, name: str) -> None:
    """Sessions on a disk also outlive the containers."""
    settings, servers = SHARED[name], NODES | ({"express-1"} if name == "express" else set())
    compose.serve(servers, **settings)
    browser = HttpClient(compose.url)
    browser.log_in(compose.passwords())
    writers = {node_of(answer := browser.post("/visits", json={})): answer.json()["visits"] for _ in range(4)}
    assert max(writers.values()) == 4
    readers = [browser.get("/me") for _ in range(6)]
    assert {node_of(answer) for answer in readers} == servers
    assert {(answer.json()["user"], answer.json()["visits"]) for answer in readers} == {("alice", 4)}
    replayed = browser.cookies.copy()
    assert browser.post("/logout", json={}).status_code == 204
    browser.cookies = replayed
    assert {browser.get("/me").json()["user"] for _ in range(6)} == {None}
    if name in ON_A_DISK:
        visitor = HttpClient(compose.url)
        assert visitor.post("/visits", json={}).status_code == 200
        compose("--profile", "*", "down", "--timeout", "5")
        compose.serve(servers, **settings)
        assert visitor.get("/me").json()["visits"] == 1


def test_with_sessions_in_memory_each_node_has_its_own(compose: Compose) -> None:
    compose.serve(SESSION_STORE="memory")
    browser = HttpClient(compose.url)
    browser.log_in(compose.passwords())
    assert {browser.get("/me").json()["user"] for _ in range(4)} == {"alice", None}


def test_the_express_application_refuses_nodes_that_do_not_share_with_it(compose: Compose) -> None:
    compose.serve(SESSION_STORE="redis")
    compose("--profile", "express", "up", "--detach", "--no-build", "--no-deps", "express", SESSION_STORE="redis")
    wait_until(
        lambda: "nodes share their sessions with SESSION_STORE=express" in compose("logs", "express"), "it says so"
    )
    assert served_by(compose.url, 6) == NODES
    compose("--profile", "express", "rm", "--stop", "--force", "express")


def test_over_tls_the_cookie_has_the_host_prefix(compose: Compose, tmp_path: Path) -> None:
    compose.serve(COMPOSE_PROFILES="tls")
    authority = compose("run", "--rm", "--no-deps", "setup", "certificate")
    (tmp_path / "ca.pem").write_text(authority)
    visitor = HttpClient(f"https://127.0.0.1:{compose.tls_port}", authority=tmp_path / "ca.pem")
    (cookie,) = visitor.ask("POST", "/visits", {}).raw.headers.getlist("Set-Cookie")
    assert cookie.startswith("__Host-session=")
    assert "; Secure" in cookie
    answers = [visitor.ask("GET", "/me") for _ in range(4)]
    assert {(node_of(answer), answer.json()["visits"]) for answer in answers} == {("node-1", 1), ("node-2", 1)}
    assert HttpClient(compose.url).get("/me").status_code == 200, "and the plain proxy goes on"


def test_an_application_of_ones_own_has_its_sessions_in_the_store(compose: Compose) -> None:
    compose.serve(APP="hello:app")
    visitor = HttpClient(compose.url)
    answers = [visitor.get("/") for _ in range(4)]
    assert [each.json()["visits"] for each in answers] == [1, 2, 3, 4]
    assert {node_of(each) for each in answers} == {"node-1", "node-2"}
