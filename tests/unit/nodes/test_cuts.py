"""Changes in several places, cut off at every operation of a store: before it is carried out, and after."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import argon2
import pytest
from flask import Flask
from flask.testing import FlaskClient

from nodes import Settings, create_app
from nodes.accounts import create_users
from nodes.accounts.users import Users
from nodes.sessions import StoreUnavailable
from nodes.stores import Stores, make_stores
from tests.support.cuts import CutStore, Network, every_cut
from tests.support.node import PASSWORD
from tests.support.node_app import attempt_login, log_in, user_of

NEW = "a new and longer password"


@pytest.fixture
def quick(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of a node whose passwords are hashed quickly, and never throttled."""
    monkeypatch.setattr("nodes.accounts.passwords.HASHER", argon2.PasswordHasher(1, 8, 1))
    users = tmp_path / "quick.json"
    create_users(users, ["alice", "bob"], PASSWORD)
    return replace(settings, users_file=users, login_attempts=1000)


class Situation:
    """Alice in two browsers, at a node whose network to the store can be cut."""

    def __init__(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        self.network = Network()

        def make(settings: Settings) -> Stores:
            return Stores(*(CutStore(store, self.network) for store in make_stores(settings)))

        monkeypatch.setattr("nodes.app.make_stores", make)
        self.app: Flask = create_app(settings)
        self.users: Users = self.app.extensions["users"]
        account = self.users.get("alice")
        assert account is not None
        self.begin()

    def begin(self) -> None:
        """Give alice her first password, and two sessions."""
        self.network.restart(None)
        self.users.set_enabled("alice", enabled=True)
        self.users.reset_password("alice", PASSWORD)
        self.app.extensions["sessions"].end_all("alice")
        self.mine, self.other = log_in(self.app), log_in(self.app)

    @property
    def password(self) -> str:
        """The password that alice has."""
        words = [word for word in (PASSWORD, NEW) if self.users.is_password(self.users.get("alice"), word)]
        assert len(words) == 1
        return words[0]

    @property
    def lives(self) -> tuple[bool, bool]:
        return user_of(self.mine) == "alice", user_of(self.other) == "alice"

    def log_in_again(self) -> FlaskClient:
        self.mine = self.app.test_client()
        assert attempt_login(self.mine, password=self.password).status_code == 200
        return self.mine


def change(client: FlaskClient) -> Any:
    return client.post("/password", json={"current": PASSWORD, "new": NEW})


def check_each_cut(situation: Situation, operation: Callable[[], Any], check: Callable[[Any], None]) -> None:
    """Cut `operation` off at each operation of a store in every way, and call `check` with its answer each time."""
    situation.network.restart(None)
    check(operation())
    situation.begin()
    situation.network.restart(None)
    operation()
    for cut in every_cut(situation.network.sent):
        situation.begin()
        situation.network.restart(cut)
        answer = operation()
        situation.network.restart(None)
        try:
            check(answer)
        except AssertionError as error:
            error.add_note(str(cut))
            raise


def test_a_change_of_password_is_safe_and_can_be_finished_wherever_it_is_cut_off(
    quick: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    situation = Situation(quick, monkeypatch)

    def check(answer: Any) -> None:
        said = "" if answer.status_code == 204 else answer.get_json()["error"]
        changed = situation.password == NEW
        mine_lives, other_lives = situation.lives
        assert answer.status_code in {204, 503}
        assert not (changed and other_lives)
        if answer.status_code == 204 or "was changed" in said:
            assert changed
        if "was not changed" in said:
            assert not changed
        if answer.status_code == 204:
            assert mine_lives
            return
        again = change(situation.mine)
        if again.status_code == 401:
            again = change(situation.log_in_again())
        assert again.status_code == 204
        assert (situation.password, situation.lives) == (NEW, (True, False))

    check_each_cut(situation, lambda: change(situation.mine), check)


def test_ending_all_other_sessions_can_be_repeated_wherever_it_is_cut_off(
    quick: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    situation = Situation(quick, monkeypatch)

    def check(answer: Any) -> None:
        assert answer.status_code in {200, 503}
        if answer.status_code != 200:
            assert situation.mine.delete("/sessions").status_code == 200
        assert situation.lives == (True, False)

    check_each_cut(situation, lambda: situation.mine.delete("/sessions"), check)


def test_ending_all_sessions_leaves_no_other_session_where_the_own_one_has_ended(
    quick: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    situation = Situation(quick, monkeypatch)

    def check(answer: Any) -> None:
        assert answer.status_code in {200, 503}
        mine_lives, other_lives = situation.lives
        assert mine_lives or not other_lives
        if mine_lives:
            assert answer.status_code == 503
            assert situation.mine.delete("/sessions?all=true").status_code == 200
        assert situation.lives == (False, False)

    check_each_cut(situation, lambda: situation.mine.delete("/sessions?all=true"), check)


def test_disabling_a_user_can_be_repeated_wherever_it_is_cut_off(
    quick: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    situation = Situation(quick, monkeypatch)

    def disable() -> bool:
        try:
            situation.users.set_enabled("alice", enabled=False)
            situation.app.extensions["sessions"].end_all("alice")
        except StoreUnavailable:
            return False
        return True

    def check(done: bool) -> None:
        assert done or disable()
        assert attempt_login(situation.app.test_client(), password=PASSWORD).status_code == 401
        assert situation.lives == (False, False)

    check_each_cut(situation, disable, check)
