"""Random histories of several browsers on every store, compared with a model of their sessions."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from nodes.sessions import ListsByUser, Session, SessionData, current_session, find_capability
from tests.support.browser import Answer, Browser, View, application
from tests.support.examples import examples
from tests.support.harness import Harness
from tests.support.harnesses.memory import MemoryHarness

IDLE, ABSOLUTE, TENTH = 1000.0, 5000.0, 100.0
KEYS = st.sampled_from(["a", "b", "@", "cart", "_cookie", "~owner"])
PLAIN: list[Callable[[Any], Any]] = [lambda value: value]
"""Converts a value to one that the store under test can hold."""
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
).map(lambda value: PLAIN[0](value))
WHO = st.integers(0, 2)


@dataclass
class Model:
    """A session as it is documented."""

    data: dict[str, Any] = field(default_factory=dict)
    owner: str | None = None
    created: float = 0.0
    touched: float = 0.0
    alive: bool = True

    def is_alive(self, now: float) -> bool:
        return self.alive and now < self.touched + IDLE and now < self.created + ABSOLUTE


def count() -> Any:
    return current_session.mutate("n", lambda n: n + 1, default=0)


class Sessions(RuleBasedStateMachine):
    """`harness` is set by the test on a subclass. `models` are by browser; None where it has no session."""

    harness: Harness

    @initialize()
    def start(self) -> None:
        self.harness.clear()
        app = application(self.harness.store, idle_timeout=IDLE, absolute_timeout=ABSOLUTE)
        self.browsers = [Browser(app) for _ in range(3)]
        self.models: list[Model | None] = [None] * 3
        self.dead: list[str] = []
        self.now = 0.0

    def model(self, who: int) -> Model | None:
        model = self.models[who]
        return model if model is not None and model.is_alive(self.now) else None

    def mark_read(self, model: Model | None) -> None:
        if model is not None and self.now - model.touched >= TENTH:
            model.touched = self.now

    def mark_written(self, who: int) -> Model:
        model = self.model(who)
        if model is None:
            model = self.models[who] = Model(created=self.now)
        model.touched = self.now
        return model

    def visit(self, who: int, view: View) -> Answer:
        before = self.browsers[who].header
        answer = self.browsers[who].visit(view)
        if before and self.browsers[who].header != before:
            self.dead.append(before)
        return answer

    def content(self, who: int) -> tuple[str | None, dict[str, Any]]:
        model = self.model(who)
        return (model.owner, model.data) if model else (None, {})

    @rule(who=WHO)
    def read(self, who: int) -> None:
        answer = self.visit(who, lambda session: (current_session.owner, dict(session)))
        assert answer.value == self.content(who)
        assert answer.set_cookie is None
        self.mark_read(self.model(who))

    @rule(who=WHO, key=KEYS, value=VALUES)
    def write_without_reading(self, who: int, key: str, value: Any) -> None:
        self.visit(who, lambda session: session.__setitem__(key, value))
        self.mark_written(who).data[key] = value

    @rule(who=WHO, key=KEYS, value=VALUES)
    def read_and_write(self, who: int, key: str, value: Any) -> None:
        before = self.model(who)
        unchanged = before is not None and key in before.data and same(before.data[key], value)

        def view(session: SessionData) -> None:
            session.get(key)
            session[key] = value

        self.visit(who, view)
        if unchanged:
            self.mark_read(before)
        else:
            self.mark_written(who).data[key] = value

    @rule(who=WHO, key=KEYS)
    def delete(self, who: int, key: str) -> None:
        model = self.model(who)
        existed = self.visit(who, lambda session: session.pop(key, "missing") != "missing").value
        if model is not None and key in model.data:
            assert existed or model.data[key] == "missing"
            del model.data[key]
            model.touched = self.now
        else:
            self.mark_read(model)

    @rule(who=WHO, value=VALUES)
    def change_inside_a_value(self, who: int, value: Any) -> None:
        def view(session: Any) -> None:
            cart = session.get("cart")
            if isinstance(cart, list):
                cart.append(value)
            elif isinstance(cart, dict):
                cart["nested"] = value

        model = self.model(who)
        if model is not None:
            before = copy.deepcopy(model.data)
            view(model.data)
            model.data = copy.deepcopy(model.data)
            if same(before, model.data):
                self.mark_read(model)
            else:
                model.touched = self.now
        self.visit(who, view)

    @rule(who=WHO)
    def count(self, who: int) -> None:
        value = self.visit(who, lambda session: count()).value
        data = self.mark_written(who).data
        data["n"] = data.get("n", 0) + 1
        assert value == data["n"]

    @rule(who=WHO, value=VALUES)
    def two_requests_at_once(self, who: int, value: Any) -> None:
        """Both count, one assigns `a`, the other `b`, in a session that exists."""
        self.visit(who, lambda session: session.__setitem__("b", "before"))
        data = self.mark_written(who).data
        data["b"] = "before"
        with self.browsers[who].request() as (slow, _):
            slow.get("n")
            slow["a"] = value
            self.visit(who, lambda session: (count(), session.__setitem__("b", value)))
            Session.of(slow).mutate("n", lambda n: n + 1, default=0)
        data |= {"a": value, "b": value, "n": data.get("n", 0) + 2}

    @rule(who=WHO, user=st.sampled_from(["alice", "bob"]))
    def login(self, who: int, user: str) -> None:
        model = self.model(who)
        self.visit(who, lambda session: current_session.renew(user))
        data = model.data if model else {}
        self.models[who] = Model(data, user, created=self.now, touched=self.now)

    @rule(who=WHO)
    def rotate(self, who: int) -> None:
        """Only the id changes: the absolute timeout goes on. Without a session none is created."""
        model = self.model(who)
        self.visit(who, lambda session: current_session.renew())
        if model is not None:
            model.touched = self.now

    @rule(who=WHO)
    def regenerate(self, who: int) -> None:
        model = self.model(who)
        self.visit(who, lambda session: current_session.renew(keep=False))
        if model is not None:
            self.models[who] = Model(created=self.now, touched=self.now)

    @rule(who=WHO, value=VALUES)
    def save_in_the_middle(self, who: int, value: Any) -> None:
        def view(session: SessionData) -> None:
            session["a"] = value
            current_session.save()
            session["b"] = value

        self.visit(who, view)
        self.mark_written(who).data.update(a=copy.deepcopy(value), b=copy.deepcopy(value))

    @rule(who=WHO, value=VALUES)
    def reload(self, who: int, value: Any) -> None:
        model = self.model(who)

        def view(session: SessionData) -> None:
            session["a"] = value
            current_session.reload()

        assert self.visit(who, view).status == (200 if model else 409)
        self.mark_read(model)

    @rule(who=WHO)
    def touch(self, who: int) -> None:
        model = self.model(who)
        had_cookie = bool(self.browsers[who].cookies)
        answer = self.visit(who, lambda session: current_session.touch())
        assert answer.status == (200 if model or not had_cookie else 409)
        if model is not None:
            model.touched = self.now

    @rule(who=WHO)
    def logout(self, who: int) -> None:
        self.visit(who, lambda session: current_session.end())
        self.models[who] = None
        assert self.browsers[who].cookies == {}

    @rule(who=WHO, value=VALUES, login=st.booleans())
    def logout_during_a_write(self, who: int, value: Any, login: bool) -> None:
        self.visit(who, lambda session: session.__setitem__("a", "before"))
        self.mark_written(who)
        with self.browsers[who].request() as (slow, answer):
            assert slow["a"] == "before"
            slow["a"] = [value]
            self.visit(who, lambda session: current_session.end())
        assert (answer.status, answer.set_cookie) == (409, None)
        self.models[who] = None

    # Each sum of these is well above a multiple of ten, and so of each timeout: the test itself takes time, and some
    # stores count in whole seconds.
    @rule(seconds=st.sampled_from([40.13, 100.13, 380.13, 700.13, 1000.13]))
    def time_passes(self, seconds: float) -> None:
        self.harness.advance(seconds)
        self.now += seconds

    @precondition(lambda self: self.harness.keys())
    @rule(data=st.data())
    def damage(self, data: Any) -> None:
        who = data.draw(WHO)
        session_id = self.visit(who, lambda session: current_session.id).value
        if self.model(who) is None:
            return
        key = self.harness.store.cookie.to_key(session_id)
        self.harness.damage(key)
        assert self.browsers[who].read() == (None, {})
        self.models[who] = None

    @rule(who=WHO)
    def outage(self, who: int) -> None:
        """Requests that need a session are refused, no cookie is set or cleared, and no session changes."""
        before = self.browsers[who].header
        with self.harness.outage():
            for view in (lambda _: current_session.owner, lambda _: count(), lambda _: current_session.renew("eve")):
                answer = self.browsers[who].visit(view) if before else None
                assert answer is None or (answer.status, answer.set_cookie) == (503, None)
            assert self.browsers[who].visit().status == 200
        assert self.browsers[who].header == before

    @invariant()
    def the_store_holds_exactly_the_live_sessions_of_the_model(self) -> None:
        alive = sum(self.model(who) is not None for who in range(3))
        assert len(self.harness.keys()) == alive

    @invariant()
    def every_user_finds_their_sessions(self) -> None:
        by_user = find_capability(self.harness.store, ListsByUser)
        if by_user is None:
            return
        for user in ("alice", "bob"):
            mine = [model for who in range(3) if (model := self.model(who)) and model.owner == user]
            assert len(by_user.keys_of(user)) == len(mine)

    @precondition(lambda self: self.dead)
    @rule()
    def old_cookies_are_anonymous(self) -> None:
        for header in self.dead[-3:]:
            assert self.browsers[0].read(header=header) == (None, {})


def same(one: Any, other: Any) -> bool:
    """Return whether both are equal and of equal types: to a codec, 1 and True differ."""
    return repr(one) == repr(other)


def run(harness: Harness, count: int, phases: tuple[Phase, ...] = tuple(Phase)) -> None:
    PLAIN[0] = getattr(harness, "plain", lambda value: value)
    run_state_machine_as_test(
        type("Machine", (Sessions,), {"harness": harness}),
        settings=settings(
            max_examples=count,
            stateful_step_count=25,
            database=None,
            phases=phases,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_every_history_agrees_with_the_model(harness: Harness) -> None:
    run(harness, examples(120 if isinstance(harness, MemoryHarness) else 30))
