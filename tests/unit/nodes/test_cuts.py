"""Changes in several places, cut off at every operation of a store: before it is carried out, and after."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from nodes import Settings
from nodes.sessions import StoreUnavailable
from tests.support.cuts import NEW, Network, Situation, change, check_changed_password, check_each_cut, cut_stores
from tests.support.node import PASSWORD
from tests.support.node_app import attempt_login, user_of


@pytest.fixture
def situation(settings: Settings, quick: Callable[[Settings], Settings], monkeypatch: pytest.MonkeyPatch) -> Situation:
    network = Network()
    cut_stores(network, monkeypatch)
    return Situation(quick(settings), network)


def test_a_change_of_password_is_safe_and_can_be_finished_wherever_it_is_cut_off(situation: Situation) -> None:
    check_each_cut(situation, lambda: change(situation.mine), partial(check_changed_password, situation))


def test_a_login_with_the_new_password_finishes_a_change_that_was_cut_off(situation: Situation) -> None:
    account = situation.users.get("alice")
    assert account is not None
    situation.users.set_password(account, NEW, first=lambda: None)
    again = situation.app.test_client()
    assert attempt_login(again, password=NEW).status_code == 200
    assert (situation.lives, user_of(again)) == ((False, False), "alice")
    assert attempt_login(situation.app.test_client(), password=NEW).status_code == 200
    assert user_of(again) == "alice"  # finished once


def test_ending_all_other_sessions_can_be_repeated_wherever_it_is_cut_off(situation: Situation) -> None:
    def check(answer: Any) -> None:
        assert answer.status_code in {200, 503}
        if answer.status_code != 200:
            assert situation.mine.delete("/sessions").status_code == 200
        assert situation.lives == (True, False)

    check_each_cut(situation, lambda: situation.mine.delete("/sessions"), check)


def test_ending_all_sessions_leaves_no_other_session_where_the_own_one_has_ended(situation: Situation) -> None:
    def check(answer: Any) -> None:
        assert answer.status_code in {200, 503}
        mine_lives, other_lives = situation.lives
        assert mine_lives or not other_lives
        if mine_lives:
            assert answer.status_code == 503
            assert situation.mine.delete("/sessions?all=true").status_code == 200
        assert situation.lives == (False, False)

    check_each_cut(situation, lambda: situation.mine.delete("/sessions?all=true"), check)


def test_disabling_a_user_can_be_repeated_wherever_it_is_cut_off(situation: Situation) -> None:
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
