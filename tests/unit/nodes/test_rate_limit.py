"""Guessing passwords: bounded over all nodes, and never to the cost of the user."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from deploy.ports import free_ports
from nodes import Settings, create_app
from nodes.sessions import Iterable, find_capability
from nodes.settings import StoreKind
from tests.support.node import PASSWORD, SECRET
from tests.support.node_app import token_of


class PlainUsers:
    """`Users` without Argon2, which would take most of the time of these tests."""

    def verify(self, name: str, password: str) -> str | None:
        return "hash" if name in {"alice", "bob"} and password == PASSWORD else None

    def holds(self, name: str, hash_: str) -> bool:
        return True


@pytest.fixture
def app(users_file: Path) -> Flask:
    app = create_app(Settings(node_name="n", secrets=(SECRET,), users_file=users_file, login_attempts=3))
    app.extensions["users"] = PlainUsers()
    return app


def guess(
    client: FlaskClient, user: str = "alice", password: str = "wrong password", address: str = "192.0.2.1"
) -> Any:
    return client.post("/login", json={"user": user, "password": password}, environ_base={"REMOTE_ADDR": address})


def test_after_too_many_wrong_passwords_the_right_one_has_to_wait_too(app: Flask) -> None:
    client = app.test_client()
    assert [guess(client).status_code for _ in range(4)] == [401, 401, 401, 429]
    answer = guess(client, password=PASSWORD)
    assert answer.status_code == 429
    assert 890 <= int(answer.headers["Retry-After"]) <= 900
    assert "Set-Cookie" not in answer.headers


def test_an_unknown_user_is_throttled_in_the_same_way(app: Flask) -> None:
    known, unknown = ([guess(app.test_client(), user) for _ in range(4)] for user in ("alice", "nobody"))
    assert [answer.status_code for answer in known] == [answer.status_code for answer in unknown]
    assert [answer.data for answer in known] == [answer.data for answer in unknown]


def test_strangers_elsewhere_do_not_lock_the_user_out(app: Flask) -> None:
    for _ in range(5):
        guess(app.test_client(), address="198.51.100.9")
    assert guess(app.test_client(), password=PASSWORD).status_code == 200


def test_strangers_at_the_same_address_do_not_lock_out_a_browser_that_is_known(app: Flask) -> None:
    mine = app.test_client()
    assert guess(mine, password=PASSWORD).status_code == 200
    mine.post("/logout", json={})
    for _ in range(5):
        guess(app.test_client())
    assert guess(app.test_client(), password=PASSWORD).status_code == 429
    assert guess(mine, password=PASSWORD).status_code == 200


def test_an_address_without_guesses_left_does_not_lock_out_a_known_browser(app: Flask) -> None:
    mine = app.test_client()
    assert guess(mine, password=PASSWORD).status_code == 200
    statuses = [guess(app.test_client(), f"user-{number}").status_code for number in range(40)]
    assert statuses == [401] * 30 + [429] * 10
    assert guess(app.test_client(), "bob", PASSWORD).status_code == 429
    assert guess(mine, password=PASSWORD).status_code == 200
    assert [guess(mine).status_code for _ in range(4)] == [401, 401, 401, 429]  # whoever has it may guess no more


def test_counts_of_guesses_are_not_sessions_and_outlive_the_end_of_all_sessions(app: Flask) -> None:
    client = app.test_client()
    assert [guess(client).status_code for _ in range(4)] == [401, 401, 401, 429]
    [guess(app.test_client(), f"user-{number}", address=f"198.51.100.{number}") for number in range(10)]
    everyone = find_capability(app.extensions["store"], Iterable)
    assert everyone is not None
    assert everyone.count() == 0
    log_in = guess(app.test_client(), "bob", PASSWORD)
    assert log_in.status_code == 200
    assert everyone.count() == 1
    assert app.extensions["sessions"].end_everyone() == 1
    assert guess(client, password=PASSWORD).status_code == 429


def test_a_known_browser_is_known_for_its_user_alone_and_not_when_forged(app: Flask) -> None:
    mine = app.test_client()
    guess(mine, password=PASSWORD)
    cookie = mine.get_cookie("device")
    assert cookie is not None
    assert (cookie.http_only, cookie.same_site) == (True, "Lax")
    for value, user in ((cookie.value[:-2] + "xx", "alice"), (cookie.value, "bob")):
        thief = app.test_client()
        thief.set_cookie("device", value)
        assert [guess(thief, user, address="203.0.113.5").status_code for _ in range(4)] == [401, 401, 401, 429]


def test_right_passwords_do_not_count_as_guesses(app: Flask) -> None:
    client = app.test_client()
    for _ in range(40):
        assert guess(client, password=PASSWORD).status_code == 200
    assert [guess(client).status_code for _ in range(2)] == [401, 401]
    assert guess(client, password=PASSWORD).status_code == 200
    assert [guess(client).status_code for _ in range(3)] == [401, 401, 401]


@pytest.mark.parametrize(("one", "other", "same"), [
    ("2001:db8::1", "2001:db8::ffff", True),
    ("2001:db8::1", "2001:db8:0:1::1", False),
    ("192.0.2.1", "192.0.2.2", False),
])  # fmt: skip
def test_an_ipv6_network_counts_as_one_client(app: Flask, one: str, other: str, same: bool) -> None:
    for _ in range(3):
        guess(app.test_client(), address=one)
    assert guess(app.test_client(), address=other).status_code == (429 if same else 401)


def test_the_page_reports_the_throttling_as_well(app: Flask) -> None:
    client = app.test_client()
    page = {"Accept": "text/html", "Origin": "http://localhost"}
    token = token_of(client)
    form = {"csrf_token": token, "user": "alice", "password": "wrong password"}
    answers = [client.post("/login", data=form, headers=page) for _ in range(4)]
    assert answers[-1].status_code == 429
    assert "Too many wrong passwords" in answers[-1].text


def test_the_rate_limit_can_be_switched_off(users_file: Path) -> None:
    app = create_app(Settings(node_name="n", secrets=(SECRET,), users_file=users_file, login_attempts=0))
    assert {guess(app.test_client()).status_code for _ in range(15)} == {401}
    assert guess(app.test_client(), password=PASSWORD).status_code == 200


def test_without_the_store_no_password_is_checked(users_file: Path) -> None:
    settings = Settings(
        node_name="n",
        secrets=(SECRET,),
        users_file=users_file,
        store=StoreKind.REDIS,
        redis_url=f"redis://127.0.0.1:{free_ports(1)[0]}/0",
    )
    answer = guess(create_app(settings).test_client(), password=PASSWORD)
    assert (answer.status_code, "Set-Cookie" in answer.headers) == (503, False)
