"""The ledger, on answers written by hand."""

from collections.abc import Mapping

import pytest
from msgspec import UNSET, UnsetType

from loadtest import Action, Answer, Expected, Finding, Login, Operation, Outcome, judge

LOOK, LOGIN, LOGOUT = Operation(Action.LOOK), Operation(Action.LOGIN), Operation(Action.LOGOUT)
VISIT, EMPTY, ACCOUNT = Operation(Action.VISIT), Operation(Action.EMPTY), Operation(Action.ACCOUNT)
DONE, UNKNOWN = Answer(Outcome.OK), Answer(Outcome.UNKNOWN)


def add(item: str, quantity: int) -> Operation:
    return Operation(Action.ADD, item, quantity)


def me(user: str | None, visits: int = 0, cart: Mapping[str, int] | UnsetType | None = None) -> Answer:
    return Answer(Outcome.OK, user, visits, {} if cart is None else cart)


def visits(count: int, replaced: bool | UnsetType = UNSET) -> Answer:
    return Answer(Outcome.OK, visits=count, replaced=replaced)


def cart(**items: int) -> Answer:
    return Answer(Outcome.OK, cart=items)


def last(*steps: tuple[Operation, Answer]) -> set[Finding]:
    """What the last answer proves; those before it must prove nothing."""
    expected = Expected("alice")
    for operation, answer in steps[:-1]:
        judgement = judge(expected, operation, answer)
        assert judgement.findings == set(), f"{operation} already shows it"
        expected = judgement.after
    return set(judge(expected, *steps[-1]).findings)


def test_whoever_sees_what_it_did_has_nothing_to_complain_of() -> None:
    done = last(
        (LOGIN, DONE),
        (VISIT, visits(1)),
        (add("apple", 2), cart(apple=2)),
        (LOOK, me("alice", 1, {"apple": 2})),
        (EMPTY, DONE),
        (LOOK, me("alice", 1)),
        (LOGOUT, DONE),
        (LOOK, me(None)),
        (ACCOUNT, Answer(Outcome.OK, user=None)),
        (LOGIN, DONE),
        (LOOK, me("alice")),
    )
    assert done == set()


def test_an_anonymous_answer_to_a_logged_in_user_is_found() -> None:
    assert last((LOGIN, DONE), (LOOK, me(None))) == {Finding.LOGGED_OUT}


def test_a_refused_account_page_is_found_as_logged_out() -> None:
    assert last((LOGIN, DONE), (ACCOUNT, Answer(Outcome.OK, user=None))) == {Finding.LOGGED_OUT}


def test_a_write_that_was_answered_with_a_new_session_is_found_as_logged_out() -> None:
    assert last((LOGIN, DONE), (VISIT, visits(1, replaced=True))) == {Finding.LOGGED_OUT}


def test_visits_and_cart_that_went_with_the_session_are_no_further_loss() -> None:
    assert last((LOGIN, DONE), (VISIT, visits(1)), (LOOK, me(None, 0))) == {Finding.LOGGED_OUT}


def test_one_logout_is_counted_once() -> None:
    out = judge(judge(Expected("alice"), LOGIN, DONE).after, LOOK, me(None)).after
    assert judge(out, LOOK, me(None)).findings == set()


def test_a_session_that_turns_up_again_on_the_node_that_has_it_is_no_crossed_one() -> None:
    expected = judge(judge(Expected("alice"), LOGIN, DONE).after, VISIT, visits(1)).after
    expected = judge(expected, LOOK, me(None, 0)).after
    expected = judge(expected, LOGIN, DONE).after
    assert judge(expected, LOOK, me("alice", 1)).findings == set()


def test_a_visit_that_was_acknowledged_and_is_gone_is_found() -> None:
    assert last((LOGIN, DONE), (VISIT, visits(1)), (LOOK, me("alice", 0))) == {Finding.VISITS_LOST}


def test_a_visit_that_is_gone_is_found_in_the_answer_to_the_next_one() -> None:
    assert last((LOGIN, DONE), (VISIT, visits(1)), (VISIT, visits(1))) == {Finding.VISITS_LOST}


def test_visits_made_before_the_login_must_be_kept_by_it() -> None:
    assert last((VISIT, visits(1)), (LOGIN, DONE), (LOOK, me("alice", 0))) == {Finding.VISITS_LOST}


def test_an_item_that_is_gone_is_found() -> None:
    assert last((LOGIN, DONE), (add("apple", 2), cart(apple=2)), (LOOK, me("alice", 0))) == {Finding.CART_LOST}


def test_an_addition_that_is_not_in_the_cart_it_was_answered_with_is_found() -> None:
    assert last((LOGIN, DONE), (add("apple", 2), cart(apple=1))) == {Finding.CART_LOST}


def test_an_emptied_cart_that_is_full_again_has_lost_that_change() -> None:
    steps = (LOGIN, DONE), (add("apple", 2), cart(apple=2)), (EMPTY, DONE)
    assert last(*steps, (LOOK, me("alice", 0, {"apple": 2}))) == {Finding.CART_LOST}
    assert last(*steps, (LOOK, me("alice", 0, {"apple": 3}))) == {Finding.CROSSED}


@pytest.mark.parametrize("answer", [me("bob"), me("alice", 7), me("alice", 0, {"pear of bob": 1})])
def test_anything_of_somebody_else_is_found(answer: Answer) -> None:
    assert last((LOGIN, DONE), (LOOK, answer)) == {Finding.CROSSED}


def test_somebody_elses_session_is_found_before_the_login_too() -> None:
    assert last((LOOK, me("bob"))) == {Finding.CROSSED}


def test_a_logout_that_comes_undone_is_found() -> None:
    assert last((LOGIN, DONE), (LOGOUT, DONE), (LOOK, me("alice"))) == {Finding.REVIVED}


@pytest.mark.parametrize("user", ["alice", None])
def test_what_a_logout_ended_and_is_back_comes_from_a_revived_session(user: str | None) -> None:
    steps = (LOGIN, DONE), (VISIT, visits(1)), (add("apple", 2), cart(apple=2)), (LOGOUT, DONE)
    assert last(*steps, (LOOK, me(user, 1, {"apple": 2}))) == {Finding.REVIVED}
    assert Finding.CROSSED in last(*steps, (LOOK, me(user, 2)))


@pytest.mark.parametrize("seen", [0, 1])
def test_after_an_unknown_visit_the_old_and_the_new_count_are_right(seen: int) -> None:
    assert last((LOGIN, DONE), (VISIT, UNKNOWN), (LOOK, me("alice", seen))) == set()


def test_an_unknown_visit_may_still_arrive_after_the_old_count_was_seen() -> None:
    steps = (LOGIN, DONE), (VISIT, UNKNOWN), (LOOK, me("alice", 0))
    assert last(*steps, (LOOK, me("alice", 1))) == set()
    assert last(*steps, (LOOK, me("alice", 2))) == {Finding.CROSSED}


def test_an_unknown_visit_that_was_seen_may_not_be_lost_any_more() -> None:
    steps = (LOGIN, DONE), (VISIT, UNKNOWN), (LOOK, me("alice", 1))
    assert last(*steps, (LOOK, me("alice", 0))) == {Finding.VISITS_LOST}


def test_an_unknown_visit_excuses_no_older_one() -> None:
    steps = (LOGIN, DONE), (VISIT, visits(1)), (VISIT, UNKNOWN)
    assert last(*steps, (LOOK, me("alice", 0))) == {Finding.VISITS_LOST}


@pytest.mark.parametrize("items", [{"apple": 2}, {"apple": 5}])
def test_after_an_unknown_addition_both_carts_are_right(items: dict[str, int]) -> None:
    steps = (LOGIN, DONE), (add("apple", 2), cart(apple=2)), (add("apple", 3), UNKNOWN)
    assert last(*steps, (LOOK, me("alice", 0, items))) == set()
    assert last(*steps, (LOOK, me("alice", 0, {"apple": 1}))) == {Finding.CART_LOST}


@pytest.mark.parametrize("items", [{}, {"apple": 2}])
def test_after_an_unknown_emptying_both_carts_are_right(items: dict[str, int]) -> None:
    steps = (LOGIN, DONE), (add("apple", 2), cart(apple=2)), (EMPTY, UNKNOWN)
    assert last(*steps, (LOOK, me("alice", 0, items))) == set()


@pytest.mark.parametrize("doubtful", [LOGIN, LOGOUT])
@pytest.mark.parametrize("answer", [me(None), me("alice", 1)])
def test_after_an_unknown_login_or_logout_being_in_and_out_are_right(doubtful: Operation, answer: Answer) -> None:
    assert last((LOGIN, DONE), (VISIT, visits(1)), (doubtful, UNKNOWN), (LOOK, answer)) == set()


def test_an_unknown_login_is_no_licence_for_somebody_elses_name() -> None:
    assert last((LOGIN, UNKNOWN), (LOOK, me("bob"))) == {Finding.CROSSED}


def test_what_failed_for_certain_changes_nothing() -> None:
    failed = Answer(Outcome.FAIL)
    assert last((LOGIN, DONE), (VISIT, failed), (LOGOUT, failed), (LOOK, me("alice", 0))) == set()
    assert last((LOGIN, DONE), (VISIT, failed), (LOOK, me("alice", 1))) == {Finding.CROSSED}


def test_only_answers_that_show_who_is_logged_in_count_for_the_share() -> None:
    inside = judge(Expected("alice"), LOGIN, DONE).after
    assert inside.login is Login.IN
    assert judge(inside, LOOK, me("alice")).tells
    assert judge(inside, LOOK, me(None)).tells
    assert judge(inside, VISIT, visits(1, replaced=False)).tells
    assert not judge(inside, VISIT, visits(1)).tells
    assert not judge(inside, EMPTY, DONE).tells
    assert not judge(inside, LOOK, UNKNOWN).tells
    assert not judge(Expected("alice"), LOOK, me(None)).tells
    assert not judge(inside, LOGOUT, DONE).tells
