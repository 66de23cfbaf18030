"""The counts of the checker, and events one by one in bounded memory."""

import pickle
import random
from typing import Any

import pytest

from loadtest.checker import Checker, Kind, check
from loadtest.history import STOPPED, Action, Header, Note, OpOutcome
from tests.support.checker_script import Script, everyday


def test_sessions_are_judged_each_by_itself() -> None:
    alice = Script().login().visit(1)
    bob = Script("visitor-2", "bob", "visitor-2#1").login(user="bob").visit(1).look(user="bob")
    findings = check([*alice.ops, *bob.ops])
    assert (findings.sessions, findings.updates_lost, findings.sessions_lost) == (2, 1, 0)


def test_only_sessions_that_somebody_was_logged_in_to_are_counted() -> None:
    refused = Script("visitor-1", "alice", "visitor-1#1").op(Action.LOGIN, outcome=OpOutcome.FAIL, status=429)
    failed = Script("visitor-1", "alice", "visitor-1#2").unknown(Action.LOGIN).look(user=None)
    anonymous = Script("visitor-2", "bob", "visitor-2#1").look(user=None).visit(1)
    twice = Script("visitor-3", "carol", "visitor-3#1").login(user="carol").look(user="carol").login(user="carol")
    assert check([*refused.ops, *failed.ops, *anonymous.ops, *twice.ops]).sessions == 1


def test_operations_are_counted_by_outcome_and_reason() -> None:
    script = Script().login().unknown(Action.VISIT).op(Action.LOOK, outcome=OpOutcome.FAIL, error="status 404")
    script.op(Action.VISIT, outcome=OpOutcome.FAIL, status=409)  # the session had been ended: no failure
    script.op(Action.VISIT, outcome=OpOutcome.UNKNOWN, error=STOPPED).op(Action.LOOK, upstream_status="502, 200")
    total = script.check().total
    assert (total.operations, total.ok, total.failed, total.fail, total.unknown) == (6, 2, 2, 1, 1)
    assert (total.failed_gets, total.failed_writes, total.logins, total.retried) == (1, 1, 1, 1)
    assert total.failures == {"GET /me: status 404": 1, "POST /visits: status 502": 1}
    assert [(row.method, row.path, row.operations, row.failed) for row in total.rows] == [
        ("POST", "/login", 1, 0),
        ("GET", "/me", 2, 1),
        ("POST", "/visits", 3, 1),
    ]


def test_acknowledged_updates_and_logouts_are_counted_as_losses_are() -> None:
    script = Script().login().visit(1).op(Action.ADD, item="tea", quantity=3).unknown(Action.VISIT)
    total = script.op(Action.VISIT, outcome=OpOutcome.FAIL, status=409).op(Action.LOGOUT).check().total
    assert (total.updates, total.logouts) == (4, 1)


def test_what_ends_the_other_sessions_of_a_user_is_counted_beside_logouts() -> None:
    script = Script().login().op(Action.END_OTHERS).op(Action.PASSWORD, password=1, user="alice")
    total = script.unknown(Action.END_OTHERS).op(Action.PASSWORD, outcome=OpOutcome.FAIL, refused=True).check().total
    assert (total.logouts, total.ends_of_others) == (0, 2)


def test_load_that_was_shed_is_counted_beside_the_failures() -> None:
    script = (
        Script().login().unknown(Action.VISIT).op(Action.LOOK, outcome=OpOutcome.UNKNOWN, error="status 503", shed=True)
    )
    total = script.check().total
    assert (total.failed, total.shed) == (2, 1)


def test_answers_to_logged_in_users_are_counted_by_what_they_show() -> None:
    script = Script().login().visit(1).op(Action.EMPTY, replaced=False).op(Action.VISIT)  # these two show no user
    total = script.look(user=None).op(Action.ACCOUNT, user=None).check().total
    assert (total.as_logged_in, total.logged_out, total.users_logged_out) == (3, 2, 1)
    assert total.share_logged_out == pytest.approx(2 / 3)


def test_a_percentile_is_the_least_time_that_this_share_stays_within() -> None:
    script = Script()
    for number in range(1, 101):
        script.look(user=None, at=(number, number + number / 1000))
    total = script.check().total
    assert (total.p50, total.p90, total.p99, total.p999, total.slowest) == (50.0, 90.0, 99.0, 100.0, 100.0)
    (row,) = total.rows
    assert (row.p50, row.p99) == (50.0, 99.0)


def test_a_percentile_is_at_most_one_percent_too_high() -> None:
    rng = random.Random(7)  # no secret
    times = sorted(rng.uniform(0.0005, 5) for _ in range(999))
    script = Script()
    for time in times:
        script.look(user=None, at=(1000.0, 1000 + time))
    assert times[499] * 1000 <= script.check().total.p50 + 0.001 <= times[499] * 1010 + 0.002


def test_the_earliest_examples_of_each_kind_are_kept() -> None:
    script = Script().login()
    for _ in range(30):
        script.look(user="bob")
    findings = script.check()
    assert findings.crossed == 30
    assert [evidence.at for evidence in findings.examples[Kind.CROSSED]] == [op.ended for op in script.ops[1:11]]


def test_a_history_without_an_end_is_not_complete() -> None:
    assert Script().login().check().complete
    assert not check(Script().login().ops).complete


def test_an_empty_history_proves_nothing() -> None:
    findings = check([])
    assert (findings.sessions, findings.total.operations, findings.gap) == (0, 0, 0.0)


def test_the_cpu_of_the_busiest_generator_process_is_averaged() -> None:
    notes = [
        Note(1.0, "generator 1", {"users": 5, "generator_cpu": 0.9}),
        Note(2.0, "generator 1", {"users": 10, "generator_cpu": 0.3}),
        Note(2.1, "generator 2", {"users": 9, "generator_cpu": 0.5}),
    ]
    assert check(notes).total.generator_cpu == pytest.approx(0.6)


# One event after another


def test_what_a_later_answer_explains_is_no_longer_a_loss() -> None:
    checker = Checker(horizon=1.0)
    script = Script().login().visit(1).visit(2).look(visits=1).look(visits=2)
    for op in script.ops[:-1]:
        checker.feed(op)
    assert checker.findings().updates_lost == 1
    checker.feed(script.ops[-1])
    assert (checker.findings().updates_lost, checker.findings().stale_reads) == (0, 1)


LATER = 1000.0  # when all of what happened before is settled, and ended sessions are dropped


@pytest.mark.parametrize(
    ("script", "found"),
    [
        (Script().login().visit(1).logout().look(visits=1, at=(LATER, LATER + 1)), {Kind.REVIVED: 1}),
        (Script().login().visit(1).logout().look(user=None, at=(LATER, LATER + 1)), {}),
        (Script().login().visit(1).logout().unknown(Action.LOGIN).look(at=(LATER, LATER + 1)), {}),
        (Script().login().visit(1).look(visits=0, at=(LATER, LATER + 1)), {Kind.UPDATE_LOST: 1}),
        (Script().login().visit(1).look(user=None, at=(LATER, LATER + 1)), {Kind.SESSION_LOST: 1}),
        (Script().add("apple", 1, {"apple": 1}).look(user=None, at=(LATER, LATER + 1)), {Kind.UPDATE_LOST: 1}),
        (Script().login().login().visit(1).look(visits=0, at=(LATER, LATER + 1)), {Kind.UPDATE_LOST: 1}),
        # A lost session is over: its values are not evaluated any more.
        (Script().login().look(user=None).look(user=None, visits=9, at=(LATER, LATER + 1)), {Kind.SESSION_LOST: 1}),
    ],
)
def test_a_session_that_has_been_idle_is_still_judged(script: Script, found: dict[Kind, int]) -> None:
    checker = Checker()
    between = Script("visitor-2", "bob", "visitor-2#1")
    for second in range(100, 900, 10):
        between.look(user=None, at=(second, second + 0.1))
    for op in [*script.ops[:-1], *between.ops, script.ops[-1]]:
        checker.feed(op)
    findings = checker.findings()
    assert findings.total.found == found
    assert findings.sessions == int(script.ops[0].action is Action.LOGIN), "once, and nobody else had logged in"


def repeat(script: Script, action: Action, **changes: Any) -> Script:
    """Add more logins or logouts than a session keeps: operations of half a second each, from second 2.5 on."""
    for _ in range(5):
        script.op(action, **changes)
    return script


OPEN_ENDED: dict[str, tuple[float, Script, dict[Kind, int]]] = {
    "an emptying under way may have emptied the cart": (
        17.0,
        Script()
        .login(at=(1, 2))
        .add("apple", 1, {"apple": 1}, at=(2.1, 2.2))
        .look(at=(5, 6))
        .op(Action.EMPTY, at=(4, 20), outcome=OpOutcome.UNKNOWN)
        .look(at=(25, 25.1)),
        {},
    ),
    "of many logins the one without an answer may still come": (
        17.0,
        repeat(Script().unknown(Action.LOGIN), Action.LOGIN, user="alice")
        .look(at=(80, 81))
        .look(at=(120, 121))
        .logout(at=(150, 151))
        .look(at=(152, 153)),
        {},
    ),
    "of many logouts the one without an answer may still come": (
        17.0,
        repeat(Script().unknown(Action.LOGOUT), Action.LOGOUT)
        .login(at=(80, 81))
        .look(at=(120, 121))
        .look(user=None, at=(150, 151)),
        {},
    ),
    "the last answer before a session expires may come from an empty one": (
        5.0,
        Script()
        .login(at=(1, 2))
        .visit(1, at=(3, 4))
        .visit(2, at=(5, 6))
        .look(visits=1, at=(7, 8))
        .op(Action.LOGOUT, outcome=OpOutcome.FAIL, at=(14, 15))
        .look(user=None, at=(21, 22)),
        {},
    ),
    "a session that expires during a long operation may be gone since the use before it": (
        16.0,
        Script()
        .login(at=(0, 1))
        .visit(1, at=(2, 3))
        .visit(2, at=(4, 5))
        .look(visits=1, at=(6, 7))
        .op(Action.ACCOUNT, at=(8, 10))
        .look(user=None, at=(9, 24))
        .op(Action.LOGOUT, outcome=OpOutcome.FAIL, at=(27, 28)),
        {},
    ),
    "a loss after a login reaches back to what ended after that login": (
        46.0,
        Script()
        .login(at=(1, 2))
        .visit(1, at=(3, 4))
        .visit(1, at=(9, 22))
        .login(at=(10, 20))
        .look(user=None, at=(50, 51))
        .op(Action.ACCOUNT, at=(15, 60))
        .op(Action.ACCOUNT, at=(69, 70)),
        {Kind.SESSION_LOST: 1},
    ),
    "of two logins after a loss the one that comes late ended it": (
        25.0,
        Script()
        .login(at=(1, 2))
        .look(user=None, at=(5, 6))
        .login(at=(42, 50))
        .login(at=(30, 40))
        .visit(1, at=(40.5, 41))
        .visit(2, at=(41.2, 41.5))
        .look(visits=1, at=(51, 52)),
        {Kind.SESSION_LOST: 1, Kind.UPDATE_LOST: 1},
    ),
    "of two logins after a loss the first ended it": (
        7.0,
        Script()
        .login(at=(1, 2))
        .look(user=None, at=(10, 11))
        .login(at=(12, 13))
        .visit(1, at=(13.1, 13.2))
        .look(visits=0, at=(13.3, 13.4))
        .login(at=(13.5, 20)),
        {Kind.SESSION_LOST: 1, Kind.UPDATE_LOST: 1},
    ),
    "the account of a login long ago is known": (
        5.0,
        repeat(Script().login(), Action.LOGIN, user="bob", account="bob").op(Action.ACCOUNT, user="alice", at=(40, 41)),
        {},
    ),
    "a lost session and what comes after an unknown logout are evaluated apart": (
        2.0,
        Script()
        .login(at=(1, 2))
        .visit(1, at=(3, 4))
        .look(user=None, at=(5, 6))
        .visit(0, at=(7, 8))
        .unknown(Action.LOGOUT, at=(9, 10))
        .visit(0, at=(11, 12))
        .look(user=None, at=(15, 16))
        .login(at=(18, 19))
        .look(at=(22, 23)),
        {Kind.SESSION_LOST: 1, Kind.UPDATE_LOST: 1, Kind.STALE_READ: 1},
    ),
    "a login after a loss settles nothing of what came before that login": (
        6.0,
        Script()
        .login(at=(1, 2))
        .visit(1, at=(3, 4))
        .visit(1, at=(7, 8))
        .look(user=None, at=(12, 13))
        .login(at=(15, 16)),
        {Kind.SESSION_LOST: 1},
    ),
    "a long answer that is right remembers the emptying before it": (
        23.0,
        Script()
        .add("apple", 1, {"apple": 1}, at=(1, 2))
        .op(Action.EMPTY, at=(3, 4))
        .look(user=None, cart={"apple": 1}, at=(5, 6))
        .op(Action.EMPTY, at=(7, 8))
        .op(Action.EMPTY, at=(10, 11))
        .look(user=None, at=(9, 20))
        .look(user=None, at=(19, 40))
        .look(user=None, at=(45, 46)),
        {Kind.EMPTYING_UNDONE: 1},
    ),
}


@pytest.mark.parametrize("horizon", [None, 1e9])
@pytest.mark.parametrize("name", OPEN_ENDED)
def test_an_operation_that_is_still_open_is_not_judged_too_early(name: str, horizon: float | None) -> None:
    least, script, found = OPEN_ENDED[name]
    checker = Checker(horizon=horizon or least)
    checker.feed(Header(version=1, title="", started=0.0, idle_timeout=13.0 if "expires" in name else None))
    for op in script.ops:
        checker.feed(op)
    findings = checker.findings()
    assert findings.total.found == found


def test_an_operation_beyond_the_horizon_is_judged_by_when_it_began() -> None:
    checker = Checker(horizon=10.0)
    script = Script().login().visit(1)
    for second in range(10, 60, 5):
        script.look(visits=1, at=(second, second + 1))
    script.visit(2, at=(5, 65)).look(user=None, at=(1.2, 66)).look(visits=2)
    for op in script.ops:
        checker.feed(op)
    assert checker.findings().total.operations == len(script.ops)
    assert checker.findings().examples == {}


@pytest.mark.parametrize("broken", [False, True])
def test_memory_does_not_grow_with_the_number_of_operations(broken: bool) -> None:
    checker = Checker(horizon=5.0)
    sizes = []
    for count, event in enumerate(everyday(5, 1_500, broken)):
        checker.feed(event)
        if count in (3_750, 7_500):
            sizes.append(len(pickle.dumps(checker)))
    assert sizes[1] < sizes[0] * 1.1
    assert bool(checker.findings().updates_lost + checker.findings().stale_reads) == broken


def test_memory_does_not_grow_with_sessions_that_clients_leave_behind() -> None:
    """A client whose session is over gets a new one with its next write, and leaves that behind when it logs in."""
    checker = Checker(horizon=50.0)
    sizes = []
    for number in range(3_000):
        at = number / 10
        checker.feed(Script("leaver-1", "alice", f"leaver-1#{number}").visit(1, at=(at, at + 0.05)).ops[0])
        if number in (2_250, 2_999):
            sizes.append(len(pickle.dumps(checker)))
    assert sizes[1] < sizes[0] * 1.2
    for number, found in ((100, {}), (2_900, {Kind.UPDATE_LOST: 1})):  # of the older one no values are known
        late = Script("leaver-1", "alice", f"leaver-1#{number}").look(user=None, visits=0, at=(400, 400.1))
        checker.feed(late.ops[0])
        assert checker.findings().total.found == found


def test_two_hundred_stale_answers_that_each_show_two_old_values_count_once_each() -> None:
    script = Script().login().add("apple", 1, {"apple": 1}).add("pear", 1, {"apple": 1, "pear": 1})
    for _ in range(200):
        script.look()
    assert script.look(cart={"apple": 1, "pear": 1}).found() == {Kind.STALE_READ: 200}


def test_memory_does_not_grow_with_emptyings_that_are_undone() -> None:
    checker = Checker(horizon=5.0)
    script, full, sizes = Script().login(), {"apple": 1}, []
    for _ in range(400):
        script.add("apple", 1, full).op(Action.EMPTY).look(cart=full).op(Action.EMPTY).look()
    for count, op in enumerate(script.ops):
        checker.feed(op)
        if count in (1_000, 2_000):  # after 200 and 400 of them
            sizes.append(len(pickle.dumps(checker)))
    assert sizes[1] < sizes[0] * 1.1
    assert checker.findings().total.found == {Kind.EMPTYING_UNDONE: 400}


def test_parts_merge_in_any_order_within_the_horizon() -> None:
    events = everyday(6, 100, broken=True)
    rng = random.Random(2)  # no secret
    shuffled = sorted(events[1:], key=lambda event: event.ended + rng.uniform(0, 4))  # type: ignore[union-attr]
    merged = Checker(horizon=4.5)
    for event in [events[0], *shuffled]:
        merged.feed(event)
    assert merged.findings() == check(events)


def test_the_end_of_a_history_proves_nothing_about_sessions_that_began_before() -> None:
    events = everyday(6, 100, broken=False)
    end = events[301:]
    assert sum(check([events[0], *end]).total.found.values()) > 0
    header = Header(version=1, title="everyday", started=0.0, since=30.0)
    findings = check([header, *end])
    assert not findings.total.found
    assert findings.total.operations == len(end)
    assert findings.sessions > 0  # those that began later are evaluated


def test_the_end_of_a_history_proves_what_sessions_that_begin_in_it_lose() -> None:
    events = everyday(6, 49, broken=True)  # no user logs out
    header = Header(version=1, title="everyday", started=0.0, since=1.0)
    script = Script("late", "late", "late#1").login(user="late", at=(20.0, 20.1))
    script.visit(1, at=(21.0, 21.1)).look(user="late", replaced=False, at=(22.0, 22.1))
    findings = check(sorted([header, *events[13:], *script.ops], key=lambda event: getattr(event, "ended", 0.0)))
    assert [one.who for one in findings.examples[Kind.UPDATE_LOST]] == ["late"]
