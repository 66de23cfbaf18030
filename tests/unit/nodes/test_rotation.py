"""Secrets and encryption keys are changed node by node: add the new one, put it first, drop the old one. So is whether
anything is encrypted: read both, write encrypted, accept nothing else.

Of two configurations that are one step apart, each knows the browsers of the other.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from nodes import Settings, create_app
from nodes.store_kinds import SessionStoreKind
from tests.support.node import PASSWORD, SECRET
from tests.support.node_app import HTML, attempt_login, log_in, token_of

OLD, NEW = "old", "new"
STEPS = [(OLD,), (OLD, NEW), (NEW, OLD), (NEW,)]
SECRETS = {OLD: SECRET, NEW: "another secret of more than thirty-two bytes"}
KEYS = {OLD: b"o" * 32, NEW: b"n" * 32}
ENCRYPTION = dict(zip(STEPS, [None, "read", "write", "require"], strict=True))
COOKIES = ("session", "device")

Step = tuple[str, ...]
Node = Callable[[Step], Flask]


@pytest.fixture(params=["secrets", "encryption_keys", "encryption"])
def node(request: pytest.FixtureRequest, users_file: Path, tmp_path: Path) -> Node:
    """Return a function that makes nodes with these secrets, keys or steps of encryption, on one store."""

    def settings_of(step: Step) -> dict[str, Any]:
        if request.param == "encryption":
            mode = ENCRYPTION[step]
            return {"encryption_keys": (KEYS[NEW],), "encryption": mode} if mode else {}
        values: dict[str, Any] = SECRETS if request.param == "secrets" else KEYS
        return {request.param: tuple(values[name] for name in step)}

    def make(step: Step) -> Flask:
        settings: dict[str, Any] = {"secrets": (SECRET,), "login_attempts": 2} | settings_of(step)
        folder = tmp_path / "sessions"
        return create_app(
            Settings(node_name="n", users_file=users_file, store=SessionStoreKind.FILE, folder=folder, **settings)
        )

    return make


def log_in_and_visit(app: Flask) -> FlaskClient:
    client = log_in(app)
    assert client.post("/visits", json={}).status_code == 200
    return client


def at(app: Flask, browser: FlaskClient) -> FlaskClient:
    """Return this browser at another node."""
    client = app.test_client()
    for name in COOKIES:
        cookie = browser.get_cookie(name)
        assert cookie is not None
        client.set_cookie(name, cookie.value)
    return client


@pytest.mark.parametrize("step", list(pairwise(STEPS)), ids=lambda step: " | ".join(",".join(each) for each in step))
def test_two_nodes_that_are_one_step_apart_know_each_others_browsers(node: Node, step: tuple[Step, Step]) -> None:
    one, other = (node(each) for each in step)
    for home, away, address in ((one, other, "192.0.2.1"), (other, one, "192.0.2.2")):
        browser = log_in_and_visit(home)
        abroad = at(away, browser)
        assert abroad.get("/me").get_json()["user"] == "alice"
        assert abroad.post("/visits", json={}).get_json()["visits"] == 2
        form = {"csrf_token": token_of(browser)}  # a page of the one, sent to the other
        assert abroad.post("/visits", data=form, headers=HTML).status_code == 303
        assert browser.get("/me").get_json()["visits"] == 3
        stranger = away.test_client()
        assert [attempt_login(stranger, address=address).status_code for _ in range(3)] == [401, 401, 429]
        assert attempt_login(stranger, password=PASSWORD, address=address).status_code == 429
        assert attempt_login(abroad, password=PASSWORD, address=address).status_code == 200  # by its cookie
        assert at(home, abroad).get("/me").get_json() | {"node": ""} == abroad.get("/me").get_json() | {"node": ""}
        assert at(home, abroad).post("/logout", json={}).status_code == 204
        assert abroad.get("/me").get_json()["user"] is None


def test_an_older_session_lasts_until_the_old_secret_is_dropped(node: Node) -> None:
    browser = log_in_and_visit(node((OLD,)))
    for number, step in enumerate(STEPS[:3], start=2):
        browser = at(node(step), browser)
        assert browser.get("/me").get_json()["user"] == "alice"
        assert browser.post("/visits", json={}).get_json()["visits"] == number


def test_a_node_without_a_new_secret_does_not_know_its_browsers_and_ends_nothing(
    node: Node, request: pytest.FixtureRequest
) -> None:
    before, hasty = node((OLD,)), node((NEW, OLD))
    browser = log_in_and_visit(hasty)
    answer = at(before, browser).get("/me")
    if "encryption" in request.node.name:
        assert answer.status_code == 503
    else:
        assert (answer.status_code, answer.get_json()["user"]) == (200, None)
    assert browser.get("/me").get_json()["user"] == "alice"  # and yet nothing was ended
