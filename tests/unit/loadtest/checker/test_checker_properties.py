"""The checker against a model of concurrent clients on a store that is right, and on stores that are wrong."""

import math
import random
from collections.abc import Iterable, Iterator
from dataclasses import replace

import msgspec
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from loadtest.checker import Checker, Findings, Kind, check, logins, sums
from loadtest.checker.session import SessionChecker
from loadtest.history import Action, Event, Header, Mark, Op, when
from tests.support.checker_model import ITEMS, TICK, Record, SharedBrowser, Store
from tests.support.examples import examples

OFTEN = (Action.VISIT, Action.VISIT, Action.ADD, Action.ADD, Action.LOOK, Action.LOOK)
actions = st.sampled_from([*OFTEN, Action.EMPTY, Action.EMPTY, *Action])
certain = st.sampled_from(["end", "effect", "fail"])
anything = st.sampled_from(["end", "end", "end", "effect", "effect", "fail", "unknown", "unknown, later", "arrive"])


Step = tuple[int, str, Action, str, int]


def schedules(
    what: st.SearchStrategy[str], actions: st.SearchStrategy[Action] = actions
) -> st.SearchStrategy[list[Step]]:
    step = st.tuples(st.integers(0, 3), what, actions, st.sampled_from(ITEMS), st.integers(1, 3))
    # Hypothesis prefers short lists, in which little overlaps.
    return st.lists(step, max_size=20) | st.lists(step, min_size=30, max_size=80)


def play(schedule: Iterable[Step], run: SharedBrowser) -> SharedBrowser:
    for client, what, action, item, quantity in schedule:
        named = (item, quantity) if action is Action.ADD else ("", 0)
        run.step(client, what, action, *named)
    return run


@st.composite
def runs(
    draw: st.DrawFn,
    /,
    what: st.SearchStrategy[str] = certain,
    actions: st.SearchStrategy[Action] = actions,
    *,
    clients: int = 1,
    tabs: bool = False,
    overwrites: bool = False,
    resurrects: bool = False,
    misdirects: bool = False,
) -> SharedBrowser:
    """Draw a browser whose clients, `clients` at least, have logged in and played a schedule on a store."""
    store = Store(overwrites, resurrects, misdirects, forwards=draw(st.booleans()))
    run = SharedBrowser(store, draw(st.integers(clients, 4)), tabs)
    run.do(Action.LOGIN)
    return play(draw(schedules(what, actions)), run)


def found(browser: SharedBrowser) -> dict[Kind, int]:
    findings = check(browser.ops)
    return findings.total.found


def told(findings: Findings) -> str:
    return msgspec.json.encode(findings.examples).decode()


@settings(max_examples=examples(100))
@given(schedules(anything), st.integers(1, 4), st.booleans(), st.booleans(), st.booleans())
def test_a_correct_store_is_never_accused(
    schedule: list[Step], clients: int, login: bool, forwards: bool, tabs: bool
) -> None:
    run = SharedBrowser(Store(forwards=forwards), clients, tabs)
    if login:
        run.do(Action.LOGIN)
    play(schedule, run).settle()
    run.do(Action.LOOK)
    findings = check(run.ops)
    assert findings.examples == {}, msgspec.json.encode(findings.examples).decode()
    event(f"unknown operations: {findings.total.unknown > 0}")
    event(f"answers as logged in: {findings.total.as_logged_in > 0}")


@settings(max_examples=examples(50))
@given(runs(), st.sampled_from([("", 1), *((item, pieces) for item in ITEMS for pieces in (1, 2, 3))]))
def test_lost_updates_are_found_once_and_nothing_else(run: SharedBrowser, lost: tuple[str, int]) -> None:
    item, pieces = lost
    run.do(Action.LOGIN)
    if item:
        run.do(Action.ADD, item, 3)
        damage(run, item=item, pieces=-pieces)
    else:
        run.do(Action.VISIT)
        damage(run, visits=-1)
    run.do(Action.LOOK)
    assert found(run) == {Kind.UPDATE_LOST: pieces}
    run.do(Action.VISIT)
    run.do(Action.LOOK)
    assert found(run) == {Kind.UPDATE_LOST: pieces}, "and counted once"


@settings(max_examples=examples(50))
@given(runs())
def test_an_emptied_cart_that_is_full_again_is_found_and_nothing_else(run: SharedBrowser) -> None:
    run.do(Action.LOGIN)
    run.do(Action.ADD, "apple", 1)
    assert run.cookie is not None
    full = run.store.records[run.cookie]
    run.do(Action.EMPTY)
    run.store.records[run.cookie] = full
    run.do(Action.LOOK)
    assert found(run) == {Kind.EMPTYING_UNDONE: 1}


@settings(max_examples=examples(50))
@given(runs(), schedules(certain))
def test_a_stale_read_is_found_and_nothing_else(run: SharedBrowser, more: list[Step]) -> None:
    run.do(Action.LOGIN)
    old = run.do(Action.LOOK)
    run.do(Action.VISIT)
    stale(run, visits=old.visits)
    run.do(Action.LOOK)
    play((step for step in more if step[2] not in (Action.LOGIN, Action.LOGOUT)), run).settle()
    assert found(run) == {Kind.STALE_READ: 1}


@settings(max_examples=examples(50))
@given(runs())
def test_a_lost_session_is_found_and_nothing_else(run: SharedBrowser) -> None:
    run.do(Action.LOGIN)
    run.store.records.clear()
    run.do(Action.LOOK)
    run.do(Action.ACCOUNT)
    assert found(run) == {Kind.SESSION_LOST: 1}


@settings(max_examples=examples(50))
@given(runs())
def test_a_revived_logout_is_found_and_nothing_else(run: SharedBrowser) -> None:
    run.do(Action.LOGIN)
    ended = dict(run.store.records)
    run.do(Action.LOGOUT)
    run.store.records.update(ended)
    run.do(Action.LOOK)
    run.do(Action.LOOK)
    assert found(run) == {Kind.REVIVED: 1}


@settings(max_examples=examples(50))
@given(runs(anything), st.sampled_from(["name", "visits", "item"]))
def test_anything_of_another_user_is_always_found(run: SharedBrowser, what: str) -> None:
    run.do(Action.LOGIN)
    look = run.do(Action.LOOK)
    if what == "name":
        stale(run, user="bob")
    elif what == "visits":
        stale(run, visits=sum(op.action is Action.VISIT for op in run.ops) + 1)
    else:
        assert look.cart is not UNSET
        stale(run, cart={**look.cart, "plum of bob": 1})
    assert found(run) == {Kind.CROSSED: 1}


@pytest.fixture(scope="module")
def forgetful() -> Iterator[None]:
    """Evaluate what is settled, and forget what can be forgotten, at every event."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sums, "_MANY", 0)
        patch.setattr(logins, "_FEW", 0)
        patch.setattr(Checker, "sweeps", math.inf)
        patch.setattr(SessionChecker, "has_ended", lambda session: False)  # else its values are no longer checked
        yield


@pytest.mark.usefixtures("forgetful")
@pytest.mark.parametrize("seed", range(8))
def test_a_history_judged_event_by_event_has_the_findings_of_the_whole(seed: int) -> None:
    """Also on a store that is wrong, and if events come late; with an endless horizon, all is evaluated at the end."""
    rng = random.Random(seed)
    for _ in range(examples(40)):
        lateness = rng.choice([0.0, 1.0, 4.0])
        ops = faulty_history(rng)
        longest = max((op.ended - op.started for op in ops), default=0)
        streamed, whole = Checker(horizon=longest + lateness + TICK), Checker(horizon=1e9)
        events: list[Event] = [Header(version=1, title="", started=0.0, idle_timeout=rng.choice([None, 5.0]))]
        events += late(ops, rng, lateness)
        for number, one in enumerate(events):
            streamed.feed(one)
            whole.feed(one)
            if number == len(ops) // 2:
                assert proven(streamed) == proven(whole)
        assert proven(streamed) == proven(whole)


@pytest.fixture(params=["at times", "at every event"])
def sweeps(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How often what is settled is evaluated."""
    if request.param == "at every event":
        monkeypatch.setattr(Checker, "sweeps", math.inf)


@pytest.mark.usefixtures("sweeps")
@pytest.mark.parametrize("seed", range(4))
def test_findings_are_those_of_a_checker_that_was_never_asked_before(seed: int) -> None:
    """A session is evaluated again only where something has come for it."""
    rng = random.Random(seed)
    for _ in range(examples(10)):
        horizon = rng.choice([1.0, 3.0, 10.0])
        ops = [
            msgspec.structs.replace(op, session=f"{op.session}/{tab}", who=f"{op.who}/{tab}")
            for tab in range(3)
            for op in faulty_history(rng)
        ]
        marks = [Mark(rng.choice(ops).ended, rng.choice(["before", "during", "after"])) for _ in range(3)]
        mixed: list[Op | Mark] = [*ops, *marks]
        mixed.sort(key=lambda one: when(one) + rng.uniform(0, horizon / 2))
        events: list[Event] = [Header(version=1, title="", started=0.0, idle_timeout=rng.choice([None, 5.0]))]
        events += mixed
        asked = Checker(horizon=horizon)
        for number, one in enumerate(events):
            asked.feed(one)
            findings = ordered(asked.findings())
            if rng.random() < 0.1:
                fresh = Checker(horizon=horizon)
                for before in events[: number + 1]:
                    fresh.feed(before)
                assert findings == ordered(fresh.findings())


def ordered(findings: Findings) -> Findings:
    """Of evidence with one time, either may come first."""
    examples = {kind: tuple(sorted(some, key=repr)) for kind, some in findings.examples.items()}
    return msgspec.structs.replace(findings, examples=examples)


def late(ops: list[Op], rng: random.Random, lateness: float) -> list[Op]:
    return sorted(ops, key=lambda op: op.ended + rng.uniform(0, lateness))


WRONG: list[tuple[str, object]] = [("visits", 0), ("user", None), ("user", "bob"), ("cart", {})]


def faulty_history(rng: random.Random) -> list[Op]:
    """Play a random schedule on a store that loses, keeps and shows what it should not."""
    store = Store(rng.random() < 0.3, rng.random() < 0.2, misdirects=rng.random() < 0.3, forwards=rng.random() < 0.5)
    run = SharedBrowser(store, clients=rng.randint(1, 4), tabs=rng.random() < 0.5)
    run.do(Action.LOGIN)
    saved: dict[int | None, Record] = {}
    often = rng.choice([[*OFTEN, *Action], [*OFTEN, Action.EMPTY], [*OFTEN, Action.LOGOUT, Action.LOGIN]])
    rests = [0.0, *rng.choice([[], [0.0, 0.0, 0.0, 9.0]])]
    steps = [*["end"] * 4, "effect", "fail", "unknown", "unknown, later", "arrive"]
    for _ in range(rng.choice([10, 40, 120])):
        action = rng.choice(often)
        play([(rng.randrange(4), rng.choice(steps), action, rng.choice(ITEMS), rng.randint(1, 3))], run)
        run.now += rng.choice(rests)
        fault = rng.random()
        if fault < 0.03 and run.cookie in run.store.records:
            damage(run, visits=-1)
        elif fault < 0.05:
            saved.update(run.store.records)
        elif fault < 0.06:
            run.store.records.update(saved)
        elif fault < 0.07:
            run.store.records.clear()
        elif fault < 0.09:
            field, value = rng.choice(WRONG)
            stale(run, **{field: value})
    return run.ops


def proven(checker: Checker) -> Findings:
    """Of two items in one stale answer, either may be the example."""
    findings = checker.findings()
    assert findings.sessions <= 1
    return msgspec.structs.replace(findings, examples={})


writes = st.sampled_from([Action.VISIT, Action.VISIT, Action.ADD, Action.LOOK])


@settings(max_examples=examples(50))
@given(runs(st.sampled_from(["end", "effect"]), writes, clients=2, overwrites=True))
def test_a_store_that_overwrites_loses_as_many_updates_as_are_found(run: SharedBrowser) -> None:
    run.settle()
    final = run.do(Action.LOOK)
    done = sum(op.action is Action.VISIT for op in run.ops)
    put = {item: sum(op.quantity for op in run.ops if op.item == item) for item in ITEMS}
    assert final.visits is not UNSET
    assert final.cart is not UNSET
    lost = done - final.visits + sum(put[item] - final.cart.get(item, 0) for item in ITEMS)
    counted = found(run)
    event(f"lost: {lost > 0}")
    # What a write shows may itself be gone again at the next one, so there can be stale answers beside.
    assert counted.get(Kind.UPDATE_LOST, 0) >= lost
    assert set(counted) <= {Kind.UPDATE_LOST, Kind.STALE_READ}
    assert bool(counted) >= bool(lost)


@settings(max_examples=examples(50))
@given(runs(st.sampled_from(["end", "effect"]), writes, clients=2, overwrites=True, resurrects=True))
def test_a_store_that_resurrects_a_session_is_found_out(run: SharedBrowser) -> None:
    in_flight = [op for op in run.running.values() if op.shown is None and op.action in (Action.VISIT, Action.ADD)]
    client = next(c for c in range(run.clients + 1) if c not in run.running)
    run.start(client, Action.LOGOUT)
    run.end(client)
    run.settle()
    run.do(Action.LOOK)
    alive = run.cookie in run.store.records
    event(f"revived: {alive}")
    assert found(run).get(Kind.REVIVED, 0) == int(alive)
    assert alive == bool(in_flight)


@settings(max_examples=examples(100))
@given(runs(actions=st.sampled_from([*OFTEN, Action.LOGIN, Action.PASSWORD]), clients=2, tabs=True, misdirects=True))
def test_writes_that_a_renewal_misdirects_are_found_and_the_logout_of_the_browser(run: SharedBrowser) -> None:
    run.settle()
    logged_out = run.store.records[run.cookie].user is None
    run.do(Action.LOOK)
    misdirected = sum(op.action in (Action.VISIT, Action.ADD) and op.replaced is True for op in run.ops)
    counted = found(run)
    event(f"misdirected: {misdirected > 0}, logged out: {logged_out}")
    assert counted.get(Kind.MISDIRECTED, 0) == misdirected
    assert bool(counted.get(Kind.SESSION_LOST)) >= logged_out
    assert bool(misdirected) >= bool(counted)


def damage(run: SharedBrowser, visits: int = 0, item: str = "apple", pieces: int = 0) -> None:
    assert run.cookie is not None
    record = run.store.records[run.cookie]
    cart = {**record.cart, item: record.cart[item] + pieces} if pieces else record.cart
    run.store.records[run.cookie] = replace(record, visits=record.visits + visits, cart=cart)


def stale(run: SharedBrowser, **shown: object) -> None:
    """Add an answer that shows something else than the store holds."""
    op = run.do(Action.LOOK)
    run.ops[-1] = msgspec.structs.replace(op, **shown)
