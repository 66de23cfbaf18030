"""The checker, on histories with one planted fault each: it finds that one, and nothing else."""

from typing import Any

import pytest
from msgspec import UNSET

from loadtest.checker import Kind, check
from loadtest.history import STOPPED
from loadtest.ledger import Action, Outcome
from tests.support.checker_script import Script

CLEAN: dict[Kind, int] = {}


def test_an_ordinary_life_of_a_session_is_clean() -> None:
    script = Script().look(user=None).visit(1, replaced=UNSET).login().visit(2).add("apple", 2, {"apple": 2})
    script.look(visits=2, cart={"apple": 2}).op(Action.EMPTY).look(visits=2).logout().look(user=None)
    assert script.op(Action.ACCOUNT, user=None).found() == CLEAN


# Sessions lost


def test_a_lost_session_is_found_once_however_often_it_is_seen() -> None:
    script = Script().login().visit(1).look(user=None).op(Action.ACCOUNT, user=None)
    findings = script.check()
    assert script.found() == {Kind.SESSION_LOST: 1}
    assert (findings.total.as_logged_in, findings.total.logged_out, findings.total.users_logged_out) == (3, 2, 1)
    (evidence,) = findings.examples[Kind.SESSION_LOST]
    assert (evidence.who, evidence.session, evidence.at) == ("visitor-1", "visitor-1#1", script.ops[2].ended)
    assert "alice had logged in" in evidence.what


def test_a_write_that_is_answered_with_another_sessions_cookie_shows_a_lost_session() -> None:
    assert Script().login().visit(1).visit(1, replaced=True).found() == {Kind.SESSION_LOST: 1}


def test_a_session_that_is_lost_again_after_another_login_counts_again() -> None:
    script = Script().login().look(user=None).login().look(user=None)
    assert script.found() == {Kind.SESSION_LOST: 2}


@pytest.mark.parametrize("outcome", [Outcome.OK, Outcome.UNKNOWN])
def test_after_a_logout_nobody_is_missed(outcome: Outcome) -> None:
    assert Script().login().logout(outcome=outcome).look(user=None).found() == CLEAN


def test_an_unknown_logout_may_come_after_the_next_login() -> None:
    assert Script().login().unknown(Action.LOGOUT).login().look(user=None).found() == CLEAN


def test_a_logout_that_failed_for_certain_leaves_the_session_where_it_is() -> None:
    script = Script().login().logout(outcome=Outcome.FAIL).look(user=None)
    assert script.found() == {Kind.SESSION_LOST: 1}


def test_a_login_whose_new_id_may_be_lost_on_its_way_takes_the_session_along() -> None:
    script = Script().login().visit(1).unknown(Action.LOGIN).look(user=None)
    assert script.found() == CLEAN
    assert script.login().look(user=None).found() == {Kind.SESSION_LOST: 1}, "the next login counts again"


def test_while_another_tab_logs_in_a_request_may_carry_the_id_that_is_dead() -> None:
    script = Script().login(at=(1, 2)).login(at=(4, 6)).look(user=None, at=(5, 7)).visit(1, at=(5, 7), replaced=True)
    assert script.found() == CLEAN
    assert script.look(user=None, at=(8, 9)).found() == {Kind.SESSION_LOST: 1}


@pytest.mark.parametrize(
    ("header", "expired"),
    [
        ({}, False),
        ({"idle_timeout": 99.0}, False),
        ({"idle_timeout": 10.0}, True),
        ({"idle_timeout": 12.0}, True),  # it was used 11 s ago, but that may not have been noted
        ({"idle_timeout": 13.0}, False),
        ({"lifetime": 99.0}, False),
        ({"lifetime": 12.0}, True),
    ],
)
def test_a_session_that_may_have_expired_is_not_lost(header: dict[str, float], expired: bool) -> None:
    script = Script().login(at=(1, 2)).visit(1, at=(3, 4)).look(user=None, at=(13, 14))
    assert script.found(**header) == (CLEAN if expired else {Kind.SESSION_LOST: 1})


def test_the_values_of_an_expired_session_are_no_lost_updates() -> None:
    script = Script().visit(1, at=(1, 2), replaced=UNSET).look(user=None, at=(20, 21)).visit(1, at=(22, 23))
    assert script.found(idle_timeout=10.0) == CLEAN
    assert script.found() == {Kind.UPDATE_LOST: 1}


def test_what_is_missing_in_a_lost_session_is_no_further_loss() -> None:
    """Also where a node takes over an id that it does not know, and goes on counting from nothing."""
    script = Script().login().visit(1).visit(2).look(visits=2).visit(1).look(user=None, visits=1)
    assert script.found() == {Kind.SESSION_LOST: 1}


# Updates lost, and stale reads


def test_a_lost_visit_is_found_and_counted_once() -> None:
    script = Script().login().visit(1).visit(2).look(visits=1).visit(2).look(visits=2)
    assert script.found() == {Kind.UPDATE_LOST: 1}
    (evidence,) = script.check().examples[Kind.UPDATE_LOST]
    assert evidence.what == "visits 1, of at least 2"


def test_as_many_updates_are_lost_as_are_missing() -> None:
    script = Script().login().visit(1).visit(2).visit(3).visit(4).look(visits=1)
    assert script.found() == {Kind.UPDATE_LOST: 3}


def test_lost_pieces_of_a_cart_are_lost_updates() -> None:
    script = Script().login().add("apple", 3, {"apple": 3}).add("pear", 1, {"apple": 3, "pear": 1})
    assert script.look(cart={"apple": 3}).found() == {Kind.UPDATE_LOST: 1}


def test_a_cart_that_was_emptied_and_is_full_again_has_lost_an_update() -> None:
    script = Script().login().add("apple", 3, {"apple": 3}).add("pear", 1, {"apple": 3, "pear": 1}).op(Action.EMPTY)
    assert script.look(cart={"apple": 3, "pear": 1}).found() == {Kind.UPDATE_LOST: 1}
    assert script.look().found() == {Kind.STALE_READ: 1}, "unless it is seen empty after all"


def test_what_was_lost_before_the_cart_was_emptied_is_lost_all_the_same() -> None:
    script = Script().login().add("apple", 2, {"apple": 2}).look(cart={"apple": 1}).op(Action.EMPTY).look()
    assert script.found() == {Kind.UPDATE_LOST: 1}


def test_what_is_back_from_before_makes_no_stale_read_of_a_loss() -> None:
    script = Script().login().add("apple", 2, {"apple": 2}).op(Action.EMPTY).add("apple", 1, {"apple": 1})
    script.look().look(cart={"apple": 3})
    assert script.found() == {Kind.UPDATE_LOST: 2}, "the one that was added last, and the emptying"


def test_a_stale_read_is_found_and_is_no_lost_update() -> None:
    script = Script().login().visit(1).visit(2).look(visits=1).look(visits=2)
    assert script.found() == {Kind.STALE_READ: 1}
    (evidence,) = script.check().examples[Kind.STALE_READ]
    assert evidence.at == script.ops[3].ended


def test_what_was_seen_of_an_unknown_update_may_not_go_again() -> None:
    script = Script().login().visit(1).unknown(Action.VISIT).look(visits=1).look(visits=2)
    assert script.found() == CLEAN
    assert script.look(visits=1).found() == {Kind.UPDATE_LOST: 1}


def test_an_unknown_update_may_come_at_any_time_and_excuses_nothing_older() -> None:
    script = Script().login().unknown(Action.VISIT).visit(1).visit(2).look(visits=3)
    assert script.found() == CLEAN
    assert Script().login().visit(1).unknown(Action.VISIT).look(visits=0).found() == {Kind.UPDATE_LOST: 1}


def test_a_writes_own_answer_must_show_what_it_wrote() -> None:
    assert Script().login().visit(0).found() == {Kind.UPDATE_LOST: 1}
    assert Script().login().add("apple", 2, {"apple": 1}).found() == {Kind.UPDATE_LOST: 1}


def test_what_was_acknowledged_comes_on_top_of_what_was_seen_before_even_if_its_answer_shows_nothing() -> None:
    script = Script().login().unknown(Action.VISIT).look(visits=1).op(Action.VISIT, replaced=False)
    assert script.look(visits=1).found() == {Kind.UPDATE_LOST: 1}


def test_after_an_unknown_emptying_the_cart_may_be_empty_at_any_time() -> None:
    script = Script().login().add("apple", 2, {"apple": 2}).unknown(Action.EMPTY).look(cart={"apple": 2}).look()
    assert script.add("apple", 1, {"apple": 1}).look().found() == CLEAN


def test_a_cart_that_is_emptied_once_more_excuses_nothing_before_and_accuses_of_nothing_after() -> None:
    script = Script().login().add("apple", 1, {"apple": 1}).op(Action.EMPTY).look(cart={"apple": 1})
    again = Script().login()
    again.ops = list(script.ops)
    assert script.op(Action.EMPTY).look().found() == {Kind.UPDATE_LOST: 1}
    assert again.look().op(Action.EMPTY).look().found() == {Kind.STALE_READ: 1}


# Several clients on one session: only real time orders what they do


def test_an_update_that_was_acknowledged_before_a_read_began_must_be_seen() -> None:
    script = Script().login(at=(0, 1)).visit(1, at=(2, 3)).look(visits=0, at=(4, 5), who="tab-2")
    assert script.found() == {Kind.UPDATE_LOST: 1}


def test_an_update_that_overlaps_a_read_may_be_seen_or_not() -> None:
    script = Script().login(at=(0, 1)).visit(1, at=(2, 5))
    script.look(visits=0, at=(3, 6), who="tab-2").look(visits=1, at=(3, 6), who="tab-3")
    assert script.found() == CLEAN


def test_what_one_client_was_shown_another_may_not_miss_afterwards() -> None:
    script = Script().login(at=(0, 1)).visit(1, at=(2, 9))
    script.look(visits=1, at=(3, 4), who="tab-2").look(visits=0, at=(5, 6), who="tab-3").look(visits=1)
    assert script.found() == {Kind.STALE_READ: 1}


def test_two_updates_at_once_that_are_answered_with_one_number_have_lost_one() -> None:
    script = Script().login(at=(0, 1)).visit(1, at=(2, 5), who="tab-1").visit(1, at=(3, 6), who="tab-2")
    assert script.found() == {Kind.UPDATE_LOST: 1}
    (evidence,) = script.check().examples[Kind.UPDATE_LOST]
    assert "overwritten" in evidence.what
    assert script.look(visits=1).found() == {Kind.UPDATE_LOST: 1}, "which is the same one"


def test_a_loss_is_none_the_less_one_while_others_go_on_writing() -> None:
    script = Script().login(at=(0, 1)).visit(1, at=(2, 3)).visit(2, at=(4, 5)).look(visits=1, at=(6, 7))
    script.visit(2, at=(8, 11), who="tab-2").look(visits=2, at=(9, 12))
    assert script.found() == {Kind.UPDATE_LOST: 1}


def test_emptying_a_cart_at_the_same_time_excuses_what_is_missing_and_what_is_there() -> None:
    script = Script().login(at=(0, 1)).add("apple", 1, {"apple": 1}, at=(2, 3)).op(Action.EMPTY, at=(4, 9))
    script.look(cart={"apple": 1}, at=(5, 6)).look(cart={}, at=(3.5, 6)).add("apple", 1, {"apple": 2}, at=(5, 8))
    assert script.look(cart={"apple": 1}).found() == CLEAN
    assert script.look(cart={"apple": 2}).found() == {Kind.UPDATE_LOST: 1}, "of two, one was there before the emptying"


def test_what_hit_a_session_while_its_id_was_renewed_may_have_found_none() -> None:
    script = Script().login(at=(0, 1)).visit(1, at=(2, 3)).add("apple", 1, {"apple": 1}, at=(2, 3), who="tab-2")
    script.login(at=(4, 7)).op(Action.EMPTY, at=(5, 8), who="tab-2").logout(at=(5, 8), who="tab-3")
    assert script.look(visits=1, cart={"apple": 1}).found() == CLEAN


def test_of_two_logins_at_once_one_may_have_found_no_session_to_keep() -> None:
    script = Script().login(at=(0, 1)).visit(1, at=(2, 3)).login(at=(4, 7)).login(at=(5, 8), who="tab-2")
    assert script.look(visits=0).found() == CLEAN


# Logouts revived


def test_a_revived_logout_is_found_once() -> None:
    script = Script().login().visit(1).logout().look(visits=1).look(visits=1)
    assert script.found() == {Kind.REVIVED: 1}
    assert "logged in again" in script.check().examples[Kind.REVIVED][0].what


def test_what_a_session_held_may_not_come_back_for_somebody_anonymous_either() -> None:
    assert Script().login().visit(1).visit(2).logout().look(user=None, visits=2).found() == {Kind.REVIVED: 1}


def test_while_a_logout_is_under_way_the_others_may_still_be_logged_in() -> None:
    script = Script().login(at=(0, 1)).visit(1, at=(2, 3)).logout(at=(4, 8)).look(visits=1, at=(5, 9), who="tab-2")
    script.visit(2, at=(6, 9), who="tab-3").visit(1, at=(7, 9), who="tab-4", replaced=True)
    assert script.look(user=None).found() == CLEAN
    assert script.look(visits=2, who="tab-2").found() == {Kind.REVIVED: 1}


def test_an_unknown_logout_promises_nothing() -> None:
    assert Script().login().unknown(Action.LOGOUT).look().look(user=None).found() == CLEAN


def test_an_unknown_login_may_come_after_the_logout() -> None:
    assert Script().login().unknown(Action.LOGIN).logout().look().found() == CLEAN


# Crossed sessions


@pytest.mark.parametrize(
    "crossed",
    [{"user": "bob"}, {"visits": 2}, {"cart": {"apple": 1, "plum of bob": 1}}, {"cart": {"apple": 2}}],
)
def test_anything_of_somebody_else_is_found(crossed: dict[str, Any]) -> None:
    script = Script().login().visit(1).add("apple", 1, {"apple": 1})
    shown: dict[str, Any] = {"user": "alice", "visits": 1, "cart": {"apple": 1}}
    assert script.look(**shown).found() == CLEAN
    assert script.look(**{**shown, **crossed}).found() == {Kind.CROSSED: 1}


def test_a_whole_session_of_somebody_else_is_one_finding() -> None:
    script = Script().login().visit(1).visit(2).look(user="bob", visits=0, cart={"plum of bob": 1}).look(visits=2)
    assert script.found() == {Kind.CROSSED: 1}


def test_what_somebody_else_is_shown_to_have_says_nothing_about_ones_own() -> None:
    script = Script().login().visit(1).visit(2).look(user="bob", visits=0)
    assert script.found() == {Kind.CROSSED: 1}


def test_whoever_has_logged_in_nowhere_is_nobody() -> None:
    assert Script().look(user="alice").found() == {Kind.CROSSED: 1}
    assert Script().login(user="bob").found() == {Kind.CROSSED: 1}


def test_an_unknown_login_is_no_licence_for_somebody_elses_name() -> None:
    assert Script().unknown(Action.LOGIN).look(user="alice").found() == CLEAN
    assert Script().unknown(Action.LOGIN).look(user="bob").found() == {Kind.CROSSED: 1}


def test_a_write_that_was_carried_out_twice_is_more_than_can_be() -> None:
    assert Script().login().visit(2).found() == {Kind.CROSSED: 1}


# What the findings count


def test_sessions_are_judged_each_by_itself() -> None:
    alice = Script().login().visit(1)
    bob = Script("visitor-2", "bob", "visitor-2#1").login(user="bob").visit(1).look(user="bob")
    findings = check([*alice.ops, *bob.ops])
    assert (findings.sessions, findings.updates_lost, findings.sessions_lost) == (2, 1, 0)


def test_failed_and_unknown_operations_are_counted_by_method_and_reason() -> None:
    script = Script().login().unknown(Action.VISIT).op(Action.LOOK, outcome=Outcome.FAIL, error="status 404")
    script.op(Action.VISIT, outcome=Outcome.FAIL, status=409)  # the session had been ended: no failure
    script.op(Action.VISIT, outcome=Outcome.UNKNOWN, error=STOPPED)
    total = script.check().total
    assert (total.operations, total.ok, total.failed, total.fail, total.unknown) == (5, 1, 2, 1, 1)
    assert (total.failed_gets, total.failed_writes) == (1, 1)
    assert total.failures == {"GET /me: status 404": 1, "POST /visits: status 502": 1}


def test_latency_is_the_least_time_that_so_many_stay_within() -> None:
    script = Script()
    for number in range(1, 101):
        script.look(user=None, at=(number, number + number / 1000))
    total = script.check().total
    assert (total.p50, total.p99, total.p999, total.slowest) == (50.0, 99.0, 100.0, 100.0)


def test_of_many_examples_some_are_kept_the_earliest_first() -> None:
    script = Script().login()
    for _ in range(30):
        script.look(user="bob")
    findings = script.check()
    assert findings.crossed == 30
    kept = [evidence.at for evidence in findings.examples[Kind.CROSSED]]
    assert kept == [op.ended for op in script.ops[1:11]]


def test_a_history_without_an_end_is_not_complete() -> None:
    assert Script().login().check().complete
    assert not check(Script().login().ops).complete


def test_of_nothing_there_is_nothing_to_say() -> None:
    findings = check([])
    assert (findings.sessions, findings.total.operations, findings.gap) == (0, 0, 0.0)
