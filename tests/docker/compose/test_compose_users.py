"""Users and passwords in containers, where every file system is read-only: a change holds on every node at once."""

import pytest

from tests.docker.compose.project import NODES, Compose
from tests.docker.compose.test_compose_stores import SHARED
from tests.support.http_client import HttpClient

NEW = "a new and longer password"


def try_login(compose: Compose, user: str, password: str) -> set[int]:
    """Log in with each node in turn; return the statuses."""
    body = {"user": user, "password": password}
    return {HttpClient(compose.url).post("/login", json=body).status_code for _ in range(4)}


@pytest.mark.parametrize("name", [name for name in SHARED if name != "express"])  # whose application has its own users
def test_changes_of_users_hold_on_every_node(compose: Compose, name: str) -> None:
    settings = SHARED[name]
    compose.serve(NODES, **settings)
    _, password = compose.accounts("add", user := f"dave-{name}").split()
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
