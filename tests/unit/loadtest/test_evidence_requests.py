"""The requests behind evidence."""

import re
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from loadtest.checker import Kind
from loadtest.checker.findings import Evidence
from loadtest.evidence_requests import ProofRequests, find_requests, tell
from loadtest.history import Action, Op, OpOutcome

PATHS = {
    Action.LOOK: "/",
    Action.ACCOUNT: "/account",
    Action.VISIT: "/count",
    Action.ADD: "/list",
    Action.EMPTY: "/list/empty",
    Action.LOGOUT: "/logout",
    Action.LOGIN: "/login",
    Action.END_OTHERS: "/devices/end",
    Action.PASSWORD: "/password",
}


def op(action: Action, ended: float, who: str = "alice-1", session: str = "alice-1#1", **more: Any) -> Op:
    method = "GET" if action is Action.LOOK else "POST"
    fields = {"outcome": OpOutcome.OK, "status": 200, "started": ended - 0.01, "ended": ended, **more}
    fields = {"account": "alice", **fields}
    return Op(who=who, session=session, action=action, method=method, path=PATHS[action], **fields)


def add(ended: float, item: str = "plum", quantity: int = 1, **more: Any) -> Op:
    return op(Action.ADD, ended, item=item, quantity=quantity, **more)


def evidence(kind: Kind, at: float, who: str = "alice-1", item: str | None = None) -> Evidence:
    return Evidence(kind=kind, who=who, session="alice-1#1", at=at, what="", item=item)


def before(one: Evidence, operations: Sequence[Op]) -> tuple[Op, ...]:
    return find_requests([one], operations)[one].before


def test_a_revived_logout_has_its_answer_and_the_logout() -> None:
    operations = [
        op(Action.LOGIN, 1.0),
        op(Action.LOGOUT, 2.0, status=302),
        op(Action.LOGOUT, 2.5, session="bob-1#1", who="bob-1"),
        op(Action.LOOK, 3.0, node="node-2"),
        op(Action.LOGOUT, 4.0),
    ]
    (found,) = find_requests([evidence(Kind.REVIVED, 3.0)], operations).values()
    assert found.proof is operations[3]
    assert found.before == (operations[1],)
    clock = r"\d\d:\d\d:\d\d\.\d{3}"
    assert re.fullmatch(
        rf"GET /, status 200 at {clock} by node-2, after POST /logout, status 302 at {clock}", tell(found)
    )


def test_a_revived_logout_has_the_write_that_was_in_flight_over_it() -> None:
    logout = op(Action.LOGOUT, 2.0)
    over = op(Action.VISIT, 2.3, started=1.9)
    before, after = op(Action.VISIT, 1.8), op(Action.VISIT, 2.6, started=2.5)
    operations = [before, logout, over, after, op(Action.LOOK, 3.0)]
    (found,) = find_requests([evidence(Kind.REVIVED, 3.0)], operations).values()
    assert found.before == (logout, over)


@pytest.mark.parametrize("action", [Action.LOOK, Action.ACCOUNT])
def test_a_revived_logout_has_the_page_in_flight_where_no_write_was(action: Action) -> None:
    logout = op(Action.LOGOUT, 2.0)
    pages = [op(action, ended, started=1.9) for ended in (1.95, 2.3, 2.2)]
    proof = op(Action.LOOK, 3.0)
    operations = [op(Action.VISIT, 1.8), pages[0], logout, *pages[1:], op(Action.LOOK, 2.6), proof]
    (found,) = find_requests([evidence(Kind.REVIVED, 3.0)], operations).values()
    assert found.before == (logout, pages[1])
    write = op(Action.VISIT, 2.1, started=1.9)
    (found,) = find_requests([evidence(Kind.REVIVED, 3.0)], [*operations, write]).values()
    assert found.before == (logout, write)


def test_a_write_may_revive_the_session_and_end_before_the_logout_is_acknowledged() -> None:
    before, beside = op(Action.VISIT, 1.9), op(Action.VISIT, 1.995, started=1.9)
    logout, page = op(Action.LOGOUT, 2.0), op(Action.LOOK, 2.3, started=1.999)
    operations = [before, beside, logout, page, op(Action.LOOK, 3.0)]
    (found,) = find_requests([evidence(Kind.REVIVED, 3.0)], operations).values()
    assert found.before == (beside, logout)


def test_a_write_that_outlasts_the_proof_may_have_revived_the_session() -> None:
    logout, proof = op(Action.LOGOUT, 2.0), op(Action.LOOK, 3.0)
    slow = op(Action.VISIT, 3.2, started=1.9)
    (found,) = find_requests([evidence(Kind.REVIVED, 3.0)], [logout, proof, slow]).values()
    assert found.before == (logout, slow)
    page, write = op(Action.LOOK, 2.9, started=1.9), op(Action.VISIT, 2.8, started=1.9)
    for known, likely in (([page], slow), ([page, write], write)):
        (found,) = find_requests([evidence(Kind.REVIVED, 3.0)], [logout, *known, proof, slow]).values()
        assert found.before == (logout, likely)


@pytest.mark.parametrize("kind", [Kind.UPDATE_LOST, Kind.STALE_READ])
def test_a_count_too_low_has_the_latest_acknowledged_visits(kind: Kind) -> None:
    visits = [op(Action.VISIT, at) for at in (1.0, 1.5, 2.0)]
    others = [add(2.1), op(Action.EMPTY, 2.2), op(Action.VISIT, 2.3, replaced=True)]
    failed = op(Action.VISIT, 2.5, outcome=OpOutcome.FAIL)
    look = op(Action.LOOK, 3.0, visits=2, cart={})
    assert before(evidence(kind, 3.0, item=""), [*visits, *others, failed, look]) == tuple(visits[1:])


@pytest.mark.parametrize("kind", [Kind.UPDATE_LOST, Kind.STALE_READ])
def test_a_quantity_too_low_has_the_latest_additions_of_its_item(kind: Kind) -> None:
    plums = [add(at) for at in (1.0, 1.5, 2.0)]
    others = [add(2.1, "apple"), op(Action.VISIT, 2.2)]
    look = op(Action.LOOK, 3.0, visits=1, cart={"apple": 1})
    assert before(evidence(kind, 3.0, item="plum"), [*plums, *others, look]) == tuple(plums[1:])


def test_a_quantity_too_low_has_the_emptying_before_its_latest_addition() -> None:
    emptying, later = op(Action.EMPTY, 1.5), add(2.0)
    look = op(Action.LOOK, 3.0, cart={})
    assert before(evidence(Kind.UPDATE_LOST, 3.0, item="plum"), [add(1.0), emptying, later, look]) == (emptying, later)


def test_an_answer_that_lacks_a_visit_and_an_addition_has_the_writes_of_each() -> None:
    visit, plum = op(Action.VISIT, 1.0), add(1.5)
    count, item = (evidence(Kind.UPDATE_LOST, 3.0, item=item) for item in ("", "plum"))
    found = find_requests([count, item], [visit, plum, op(Action.LOOK, 3.0, visits=0, cart={})])
    assert (found[count].before, found[item].before) == ((visit,), (plum,))


@pytest.mark.parametrize("kind", [Kind.EMPTYING_UNDONE, Kind.STALE_READ])
def test_a_list_full_after_its_emptying_has_that_and_the_addition_before_it(kind: Kind) -> None:
    plums = [add(0.5), add(1.0, quantity=2)]
    emptyings = [op(Action.EMPTY, at) for at in (0.7, 1.5)]
    since = [add(1.6), add(1.7), op(Action.VISIT, 1.8), add(1.9, "apple", 9)]
    look, later = op(Action.LOOK, 3.0, cart={"plum": 5}), add(4.0, quantity=9)
    operations = [*plums, *emptyings, *since, look, later]
    assert before(evidence(kind, 3.0, item="plum"), operations) == (plums[1], emptyings[1])


def test_of_two_writes_with_one_value_each_is_shown() -> None:
    first = op(Action.VISIT, 1.0, who="alice-1/tab-1", visits=3)
    second = op(Action.VISIT, 1.001, who="alice-1/tab-2", visits=3)
    (found,) = find_requests(
        [evidence(Kind.UPDATE_LOST, 1.001, "alice-1/tab-2", "")], [op(Action.VISIT, 0.5, visits=2), first, second]
    ).values()  # fmt: skip
    assert (found.proof, found.before) == (second, (first,))


def test_a_quantity_too_low_has_no_visit_that_repeats_a_count() -> None:
    plum = add(0.5)
    visits = [op(Action.VISIT, at, who=f"alice-1/tab-{at}", visits=3, cart={}) for at in (1.0, 2.0)]
    one = evidence(Kind.UPDATE_LOST, 2.0, "alice-1/tab-2.0", item="plum")
    assert before(one, [plum, *visits]) == (plum,)


def test_evidence_whose_operation_is_not_in_the_history_has_none() -> None:
    assert find_requests([evidence(Kind.CROSSED, 9.0)], [op(Action.LOOK, 3.0)]) == {}


def test_another_users_answer_has_both_logins() -> None:
    own = op(Action.LOGIN, 1.0)
    theirs = [op(Action.LOGIN, at, who="bob-1", session="bob-1#1", account="bob") for at in (0.5, 1.1, 9.0)]
    look = op(Action.LOOK, 3.0, user="bob")
    (found,) = find_requests([evidence(Kind.CROSSED, 3.0)], [own, *theirs, look]).values()
    assert found.before == (own, theirs[1])


def test_a_user_whose_login_was_never_answered_has_their_login_elsewhere() -> None:
    elsewhere = op(Action.LOGIN, 0.5, session="alice-2#1", who="alice-2")
    operations = [elsewhere, op(Action.VISIT, 1.0), op(Action.LOOK, 3.0, user="alice")]
    assert before(evidence(Kind.CROSSED, 3.0), operations) == (elsewhere,)


PHONE = {"who": "alice-1/phone", "session": "alice-1/phone#1"}


def test_a_session_that_another_one_ended_is_revived_after_that() -> None:
    end = op(Action.END_OTHERS, 2.0, **PHONE)
    beside, other = op(Action.VISIT, 2.1, started=1.9), op(Action.END_OTHERS, 2.2, account="bob", session="bob-1#1")
    operations = [op(Action.LOGOUT, 0.5), op(Action.LOGIN, 1.0), end, beside, other, op(Action.LOOK, 3.0)]
    (found,) = find_requests([evidence(Kind.REVIVED, 3.0)], operations).values()
    assert found.before == (end, beside)


@pytest.mark.parametrize("action", [Action.END_OTHERS, Action.PASSWORD])
def test_a_lost_session_has_its_login_and_its_request_that_ended_the_others(action: Action) -> None:
    login, own = op(Action.LOGIN, 1.0), op(action, 2.0)
    elsewhere = op(action, 2.5, **PHONE)
    (found,) = find_requests(
        [evidence(Kind.SESSION_LOST, 3.0)], [login, own, elsewhere, op(Action.LOOK, 3.0, user=None)]
    ).values()  # fmt: skip
    assert found.before == (login, own)


@pytest.mark.parametrize("action", [Action.END_OTHERS, Action.PASSWORD])
def test_a_lost_session_has_its_request_in_flight_that_ended_the_others(action: Action) -> None:
    login, earlier = op(Action.LOGIN, 1.0), [op(action, at) for at in (1.5, 1.6)]
    beside, later = op(action, 3.1, started=2.5, who="alice-1/tab-2"), op(action, 4.0)
    look = op(Action.LOOK, 3.0, started=2.0, user=None)
    assert before(evidence(Kind.SESSION_LOST, 3.0), [login, *earlier, look, beside, later]) == (login, beside)


def test_a_revived_value_has_its_logout_and_the_latest_write_to_it() -> None:
    visit, plum, logout = op(Action.VISIT, 1.0), add(1.2), op(Action.LOGOUT, 2.0)
    elsewhere = op(Action.END_OTHERS, 2.2, **PHONE)
    look = op(Action.LOOK, 3.0, user=None, visits=1, cart={"plum": 1})
    for item, write in (("", visit), ("plum", plum)):
        one = evidence(Kind.REVIVED, 3.0, item=item)
        assert before(one, [visit, plum, logout, elsewhere, op(Action.VISIT, 2.5), look]) == (write, logout)


def test_a_password_that_is_undone_has_the_changes_of_its_account() -> None:
    changes = [op(Action.PASSWORD, at, **PHONE) for at in (0.5, 1.0)]
    changes.append(op(Action.PASSWORD, 1.5, outcome=OpOutcome.UNKNOWN, status=503))
    others = [op(Action.PASSWORD, 1.6, account="bob"), op(Action.PASSWORD, 1.7, outcome=OpOutcome.FAIL)]
    login, later = op(Action.LOGIN, 3.0), op(Action.PASSWORD, 3.5)
    (found,) = find_requests([evidence(Kind.PASSWORD_UNDONE, 3.0)], [*changes, *others, login, later]).values()
    assert found.before == tuple(changes[1:])


@pytest.mark.parametrize("item", ["", "plum"])
def test_a_value_too_high_has_the_latest_writes_to_it_with_the_refused_ones(item: str) -> None:
    action = Action.ADD if item else Action.VISIT
    write = op(action, 1.0, item=item, quantity=1)
    refused = op(action, 2.0, item=item, quantity=1, outcome=OpOutcome.FAIL, status=409)
    others = [op(Action.EMPTY, 2.1), add(2.2, "apple"), op(Action.VISIT, 2.3) if item else add(2.3)]
    look = op(Action.LOOK, 3.0, user="alice", visits=9, cart={"plum": 9})
    operations = [op(Action.LOGIN, 0.5), write, refused, *others, look]
    assert before(evidence(Kind.CROSSED, 3.0, item=item), operations) == (write, refused)


def test_requests_in_results_belong_to_one_piece_of_evidence_of_an_answer() -> None:
    count, item = (evidence(Kind.UPDATE_LOST, 3.0, item=item) for item in ("", "plum"))
    answer = op(Action.LOOK, 3.0)
    requests = ProofRequests(kind=Kind.UPDATE_LOST, item="", who="alice-1", at=3.0, answer=answer)
    assert (requests.belongs_to(count), requests.belongs_to(item)) == (True, False)


def test_results_without_the_kind_and_item_of_requests_are_read() -> None:
    written = msgspec.json.encode({"who": "alice-1", "at": 3.0, "answer": op(Action.LOOK, 3.0)})
    old = msgspec.json.decode(written, type=ProofRequests)
    one = msgspec.json.decode(
        b'{"kind": "update lost", "who": "alice-1", "session": "alice-1#1", "at": 3.0, "what": ""}', type=Evidence
    )
    assert (one.item, old.belongs_to(one)) == (None, True)
