"""Guessing passwords: bounded over all nodes, and never to the cost of the user."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from deploy.ports import free_ports
from nodes import Settings, create_app
from nodes.accounts.file import Account
from nodes.rate_limit import OPEN_SECONDS
from nodes.sessions import Changes, Iterable, StoreUnavailable, find_capability
from nodes.sessions.store import StoreWrapper
from nodes.store_kinds import SessionStoreKind
from tests.support.node import PASSWORD
from tests.support.node_app import HTML, attempt_login, token_of


class PlainUsers:
    """`Users` without Argon2, which would take most of the time of these tests."""

    def get(self, name: str) -> Account | None:
        return Account(name, "hash") if name in {"alice", "bob"} else None

    def is_password(self, account: Account | None, password: str) -> bool:
        return account is not None and password == PASSWORD

    def require_unchanged(self, account: Account) -> None:
        pass


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, login_attempts=3)


@pytest.fixture
def app(settings: Settings) -> Flask:
    app = create_app(settings)
    app.extensions["users"] = PlainUsers()
    return app


def guess(app: Flask, times: int, **attempt: str) -> list[int]:
    """Try a wrong password so often, each time from a new browser; the statuses."""
    return [attempt_login(app.test_client(), **attempt).status_code for _ in range(times)]


def knock(client: FlaskClient, **attempt: str) -> int:
    """Try the right password; the status."""
    return attempt_login(client, password=PASSWORD, **attempt).status_code


def test_after_too_many_wrong_passwords_the_right_one_has_to_wait(app: Flask) -> None:
    assert guess(app, 4) == [401, 401, 401, 429]
    answer = attempt_login(app.test_client(), password=PASSWORD)
    assert answer.status_code == 429
    assert 890 <= int(answer.headers["Retry-After"]) <= 900
    assert "Set-Cookie" not in answer.headers


def test_guesses_at_an_unknown_user_are_answered_as_those_at_a_known_one(app: Flask) -> None:
    known, unknown = ([attempt_login(app.test_client(), user) for _ in range(4)] for user in ("alice", "nobody"))
    assert [answer.status_code for answer in known] == [answer.status_code for answer in unknown]
    assert [answer.data for answer in known] == [answer.data for answer in unknown]


def test_strangers_elsewhere_do_not_lock_the_user_out(app: Flask) -> None:
    guess(app, 5, address="198.51.100.9")
    assert knock(app.test_client()) == 200


def test_strangers_at_the_same_address_do_not_lock_out_a_known_browser(app: Flask) -> None:
    mine = app.test_client()
    assert knock(mine) == 200
    mine.post("/logout", json={})
    guess(app, 5)
    assert (knock(app.test_client()), knock(mine)) == (429, 200)


def test_an_address_without_guesses_left_does_not_lock_out_a_known_browser(app: Flask) -> None:
    mine = app.test_client()
    assert knock(mine) == 200
    statuses = [attempt_login(app.test_client(), f"user-{number}").status_code for number in range(40)]
    assert statuses == [401] * 30 + [429] * 10
    assert knock(app.test_client(), user="bob") == 429
    assert knock(mine) == 200
    assert [attempt_login(mine).status_code for _ in range(4)] == [401, 401, 401, 429]  # a thief of it is limited


def test_guesses_are_not_sessions_and_outlive_the_end_of_all(app: Flask) -> None:
    assert guess(app, 4) == [401, 401, 401, 429]
    everyone = find_capability(app.extensions["store"], Iterable)
    assert everyone is not None
    assert everyone.count() == 0
    assert knock(app.test_client(), user="bob") == 200
    assert everyone.count() == 1
    assert app.extensions["sessions"].end_everyone() == 1
    assert knock(app.test_client()) == 429


def test_a_device_cookie_is_for_its_user_alone_and_cannot_be_forged(app: Flask) -> None:
    mine = app.test_client()
    knock(mine)
    cookie = mine.get_cookie("device")
    assert cookie is not None
    assert (cookie.http_only, cookie.same_site) == (True, "Lax")
    for value, user in ((cookie.value[:-2] + "xx", "alice"), (cookie.value, "bob")):
        thief = app.test_client()
        thief.set_cookie("device", value)
        statuses = [attempt_login(thief, user, address="203.0.113.5").status_code for _ in range(4)]
        assert statuses == [401, 401, 401, 429]


class LateForCreate(StoreWrapper):
    """A store where another login makes the counter first, and deletes it at once."""

    late = True

    def create(self, *arguments: Any, **options: Any) -> float | None:
        if self.late:
            self.late = False
            return None
        return super().create(*arguments, **options)


def test_a_counter_that_another_login_makes_and_deletes_throttles_nobody(app: Flask) -> None:
    limiter = app.extensions["rate_limiter"]
    limiter.store = LateForCreate(limiter.store)
    assert knock(app.test_client()) == 200


def test_right_passwords_do_not_count_towards_the_limit(app: Flask) -> None:
    client = app.test_client()
    assert {knock(client) for _ in range(40)} == {200}
    for wrong in (2, 3):
        assert [attempt_login(client).status_code for _ in range(wrong)] == [401] * wrong
        assert knock(client) == (200 if wrong == 2 else 429)


class Killed(BaseException):
    """The end of a worker in the middle of a request."""


def cut_off(app: Flask, monkeypatch: pytest.MonkeyPatch, times: int, **attempt: str) -> None:
    """Send so many guesses whose worker is killed while it checks the password."""

    def kill(*_arguments: object) -> bool:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(PlainUsers, "is_password", kill)
        for _ in range(times):
            with pytest.raises(Killed):
                attempt_login(app.test_client(), password=PASSWORD, **attempt)


def pass_time(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    then = time.time() + seconds
    monkeypatch.setattr(time, "time", lambda: then)


def test_logins_that_killed_workers_cut_off_are_no_wrong_passwords(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):  # the limit of the address
        cut_off(app, monkeypatch, 1, user=f"user-{number}")
    answer = attempt_login(app.test_client(), password=PASSWORD)
    assert answer.status_code == 429  # they may be under way
    assert OPEN_SECONDS - 2 <= int(answer.headers["Retry-After"]) <= OPEN_SECONDS
    pass_time(monkeypatch, OPEN_SECONDS)
    assert knock(app.test_client()) == 200


def test_wrong_passwords_count_for_the_window_whatever_was_cut_off(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    assert guess(app, 2) == [401, 401]
    cut_off(app, monkeypatch, 1)
    assert knock(app.test_client()) == 429
    pass_time(monkeypatch, OPEN_SECONDS)
    assert guess(app, 1) == [401]
    pass_time(monkeypatch, 10 * OPEN_SECONDS)
    answer = attempt_login(app.test_client(), password=PASSWORD)
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 800


def test_a_wrong_password_counts_even_if_another_node_took_its_guess_for_a_cut(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check_slowly(*_arguments: object) -> bool:
        with monkeypatch.context() as patch:
            pass_time(patch, OPEN_SECONDS)
            patch.setattr(PlainUsers, "is_password", lambda *_arguments: False)
            assert guess(app, 3) == [401, 401, 401]
        return False

    with monkeypatch.context() as patch:
        patch.setattr(PlainUsers, "is_password", check_slowly)
        assert guess(app, 1) == [401]
    assert list(count_guesses(app).values()) == [4, 4]


class NoResults(StoreWrapper):
    """A store that can't be reached once the password was checked."""

    def update(self, key: str, changes: Changes, *arguments: Any) -> Any:
        if changes.max_bytes is None:
            raise StoreUnavailable("no answer")
        return super().update(key, changes, *arguments)

    def delete(self, key: str) -> None:
        raise StoreUnavailable("no answer")


def test_a_guess_that_can_not_be_counted_as_wrong_says_nothing_about_the_password(app: Flask) -> None:
    limiter = app.extensions["rate_limiter"]
    limiter.store = NoResults(limiter.store)
    right, wrong = (attempt_login(app.test_client(), password=word) for word in (PASSWORD, "wrong password"))
    assert (right.status_code, right.data) == (wrong.status_code, wrong.data)
    assert right.status_code == 503


class PartlyDown(StoreWrapper):
    """A store whose record with the key `down` can't be reached, as with a shard that is lost."""

    down: str | None = None

    def create(self, key: str, *arguments: Any, **options: Any) -> float | None:
        self._require(key)
        return super().create(key, *arguments, **options)

    def update(self, key: str, *arguments: Any) -> Any:
        self._require(key)
        return super().update(key, *arguments)

    def delete(self, key: str) -> None:
        self._require(key)
        super().delete(key)

    def _require(self, key: str) -> None:
        if key == self.down:
            raise StoreUnavailable("no answer")


def count_guesses(app: Flask) -> dict[str, int]:
    """Return the number of guesses in each counter, by its key."""
    store = app.extensions["rate_limiter"].store
    counters = find_capability(store, Iterable)
    assert counters is not None
    return {key: len(store.load(key).fields) for key in list(counters.keys())}


def test_logins_that_can_not_be_counted_at_the_address_are_not_counted_for_the_user(app: Flask) -> None:
    guess(app, 1)
    limiter = app.extensions["rate_limiter"]
    own, address = count_guesses(app)
    limiter.store = PartlyDown(limiter.store)
    limiter.store.down = address
    assert guess(app, 5) == [503] * 5
    limiter.store.down = None
    assert count_guesses(app) == {own: 1, address: 1}
    assert knock(app.test_client()) == 200


def test_logins_that_are_refused_at_the_address_are_not_counted_for_the_user(app: Flask) -> None:
    for number in range(10):
        guess(app, 3, user=f"user-{number}")
    assert guess(app, 5) == [429] * 5
    assert sorted(count_guesses(app).values()) == [0, *[3] * 10, 30]


def test_a_right_password_is_not_counted_at_its_address_if_its_user_is_out_of_reach(app: Flask) -> None:
    guess(app, 1)
    limiter = app.extensions["rate_limiter"]
    own, address = count_guesses(app)
    limiter.store = PartlyDown(limiter.store)

    class Cut(PlainUsers):
        def is_password(self, account: Account | None, password: str) -> bool:
            limiter.store.down = own
            return super().is_password(account, password)

    app.extensions["users"] = Cut()
    assert knock(app.test_client()) == 503
    limiter.store.down = None
    assert count_guesses(app) == {own: 2, address: 1}


def test_logins_without_a_user_to_compare_with_are_no_guesses(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> None:
        raise StoreUnavailable("no answer")

    monkeypatch.setattr(PlainUsers, "get", fail)
    assert guess(app, 35) == [503] * 35
    monkeypatch.undo()
    assert count_guesses(app) == {}


def test_guesses_of_the_version_before_count_as_wrong_ones(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    guess(app, 3)
    limiter = app.extensions["rate_limiter"]
    for key in count_guesses(app):
        fields = limiter.store.load(key).fields
        limiter.store.update(key, Changes(dict.fromkeys(fields, b"0")), limiter._lifetime)
    pass_time(monkeypatch, OPEN_SECONDS)
    # Of one byte, not eight: more of them fit, until they expire.
    assert guess(app, 3) == [401, 429, 429]


@pytest.mark.parametrize(("one", "other", "same"), [
    ("2001:db8::1", "2001:db8::ffff", True),
    ("2001:db8::1", "2001:db8:0:1::1", False),
    ("192.0.2.1", "192.0.2.2", False),
])  # fmt: skip
def test_an_ipv6_network_is_one_client(app: Flask, one: str, other: str, same: bool) -> None:
    guess(app, 3, address=one)
    assert guess(app, 1, address=other) == [429 if same else 401]


def test_the_page_shows_the_limit(client: FlaskClient) -> None:
    form = {"csrf_token": token_of(client), "user": "alice", "password": "wrong password"}
    answers = [client.post("/login", data=form, headers=HTML) for _ in range(4)]
    assert answers[-1].status_code == 429
    assert "Too many wrong passwords" in answers[-1].text


def test_zero_attempts_switch_the_limit_off(settings: Settings) -> None:
    app = create_app(replace(settings, login_attempts=0))
    assert guess(app, 15) == [401] * 15
    assert knock(app.test_client()) == 200


class Unasked(PlainUsers):
    def is_password(self, account: Account | None, password: str) -> bool:
        raise AssertionError("a password is checked")


def test_without_the_store_no_password_is_checked(settings: Settings) -> None:
    url = f"redis://127.0.0.1:{free_ports(1)[0]}/0"
    app = create_app(replace(settings, store=SessionStoreKind.REDIS, redis_url=url))
    app.extensions["users"] = Unasked()
    answer = attempt_login(app.test_client())
    assert (answer.status_code, "Set-Cookie" in answer.headers) == (503, False)
