"""Every store of compose.yaml, one after another in one project: sessions and users on every node; and TLS."""

from dataclasses import dataclass
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
ON_A_DISK = ("file", "mysql")  # and postgres, which tests/docker/deploy kills and starts again

NEW = "a new and longer password"


@dataclass(frozen=True)
class Served:
    """The project with one of the stores."""

    name: str
    compose: Compose

    @property
    def servers(self) -> set[str]:
        return NODES | ({"express-1"} if self.name == "express" else set())

    def serve(self) -> None:
        self.compose.serve(self.servers, **SHARED[self.name])


@pytest.fixture(scope="module", params=SHARED)
def served(request: pytest.FixtureRequest, compose: Compose) -> Served:
    served = Served(request.param, compose)
    served.serve()
    return served


def test_a_session_is_shared_by_all_servers_and_ends_on_all_of_them(served: Served) -> None:
    """Sessions on a disk also outlive the containers."""
    compose = served.compose
    browser = HttpClient(compose.url)
    browser.log_in(compose.passwords())
    writers = {node_of(answer := browser.post("/visits", json={})): answer.json()["visits"] for _ in range(4)}
    assert max(writers.values()) == 4
    readers = [browser.get("/me") for _ in range(6)]
    assert {node_of(answer) for answer in readers} == served.servers
    assert {(answer.json()["user"], answer.json()["visits"]) for answer in readers} == {("alice", 4)}
    replayed = browser.cookies.copy()
    assert browser.post("/logout", json={}).status_code == 204
    browser.cookies = replayed
    assert {browser.get("/me").json()["user"] for _ in range(6)} == {None}
    if served.name in ON_A_DISK:
        visitor = HttpClient(compose.url)
        assert visitor.post("/visits", json={}).status_code == 200
        compose("--profile", "*", "down", "--timeout", "5")
        served.serve()
        assert visitor.get("/me").json()["visits"] == 1


def try_login(compose: Compose, user: str, password: str) -> set[int]:
    """Log in with each node in turn; return the statuses."""
    body = {"user": user, "password": password}
    return {HttpClient(compose.url).post("/login", json=body).status_code for _ in range(4)}


def test_changes_of_users_hold_on_every_node(served: Served) -> None:
    """The file systems of the containers are read-only."""
    if served.name == "express":
        pytest.skip("the Express application has users of its own")
    compose = served.compose
    _, password = compose.accounts("add", user := f"dave-{served.name}").split()
    browser, phone = HttpClient(compose.url), HttpClient(compose.url)
    for each in (browser, phone):
        each.log_in({user: password}, user)
    browser.ask("POST", "/password", {"current": password, "new": NEW}, status=204)
    assert (browser.user, phone.user) == (user, None)
    assert (try_login(compose, user, NEW), try_login(compose, user, password)) == ({200}, {401})
    compose.accounts("disable", user, node=2)
    assert (browser.user, try_login(compose, user, NEW)) == (None, {401})


def test_changes_of_users_outlive_the_containers(compose: Compose) -> None:
    compose.serve()
    user, password = compose.accounts("add", "erin").split()
    compose.accounts("disable", user)
    compose.down()
    compose.serve()
    assert f"{user} disabled" in compose.accounts("list").splitlines()
    compose.accounts("enable", user)
    assert try_login(compose, user, password) == {200}


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
