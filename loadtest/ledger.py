"""What a virtual user may expect of its session, held against what each answer shows. Pure: no network, no clock.

A user knows what it did and what was acknowledged: whom it logged in as, its visits, what lies in its cart. `judge`
takes that expectation, an operation and the answer to it, and says what is wrong with the answer and what may be
expected from then on. An operation that ended as *unknown* (a timeout, a 502 on a POST) may have happened, may not
have, and may still happen later: from then on the old and the new value are both right. So expectations are ranges, a
range only widens by an unknown operation, and a finding is always a fact.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple

from msgspec import UNSET, UnsetType

from loadtest.history.events import Action as Action
from loadtest.history.events import Outcome as Outcome


class Finding(StrEnum):
    """What an answer proves to be wrong."""

    LOGGED_OUT = "logged out"  # logged in, never logged out, and the answer is to somebody anonymous
    VISITS_LOST = "visits lost"  # fewer visits than were acknowledged
    CART_LOST = "cart lost"  # an acknowledged change is missing: less in it than was put, or what was taken out
    REVIVED = "logout revived"  # the session, or what was in it, is back after an acknowledged logout
    CROSSED = "crossed"  # somebody else's name, visits or cart: values this user can never have made


class Login(StrEnum):
    IN = "in"
    OUT = "out"
    UNSURE = "unsure"


@dataclass(frozen=True, slots=True)
class Operation:
    """One request of a virtual user; `item` and `quantity` belong to ADD."""

    action: Action
    item: str = ""
    quantity: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. A field that the answer does not speak of stays UNSET.

    `replaced` says whether the session's cookie is another one than before: outside of a login and a logout that
    means that the node did not know the session and made a new one. UNSET where cookies cannot tell.
    """

    outcome: Outcome
    user: str | UnsetType | None = UNSET
    visits: int | UnsetType = UNSET
    cart: Mapping[str, int] | UnsetType = UNSET
    replaced: bool | UnsetType = UNSET


class Span(NamedTuple):
    """The values a counter may have, both ends included."""

    low: int
    high: int


NONE = Span(0, 0)


@dataclass(frozen=True, slots=True)
class Expected:
    """What the user called `name` may expect of the next answer. A new one has no session yet.

    `ever_visits` and `ever_put` are all that it ever did, in all its sessions: what is more than that is not its own.
    `late_emptying`: a DELETE that ended as unknown may still arrive, and empty whatever is in the cart by then.
    """

    name: str
    login: Login = Login.OUT
    visits: Span = NONE
    cart: Mapping[str, Span] = field(default_factory=dict)
    ever_visits: int = 0
    ever_put: Mapping[str, int] = field(default_factory=dict)
    late_emptying: bool = False

    def did(self, operation: Operation) -> "Expected":
        """With what an operation may have made added to all that the user ever did."""
        if operation.action is Action.VISIT:
            return replace(self, ever_visits=self.ever_visits + 1)
        if operation.action is Action.ADD:
            put = self.ever_put.get(operation.item, 0) + operation.quantity
            return replace(self, ever_put={**self.ever_put, operation.item: put})
        return self


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one answer proves, and what may be expected after it.

    `tells` is true where the user was certainly logged in and the answer shows whether it still is: these requests
    are what a share of 'found logged out' is a share of.
    """

    findings: frozenset[Finding]
    tells: bool
    after: Expected


def judge(before: Expected, operation: Operation, answer: Answer) -> Judgement:
    """Hold one answer against the expectation."""
    if answer.outcome is Outcome.FAIL:
        return Judgement(frozenset(), False, before)
    if answer.outcome is Outcome.UNKNOWN:
        return Judgement(frozenset(), False, _perhaps(before, operation).did(operation))
    due = _carried_out(before, operation).did(operation)
    found = _compare(before, due, operation, answer)
    tells = (
        before.login is Login.IN
        and operation.action not in (Action.LOGIN, Action.LOGOUT)
        and (answer.user is not UNSET or Finding.LOGGED_OUT in found or _shows_session(operation, answer))
    )
    if Finding.LOGGED_OUT in found:
        # Its values went with it, which is no further loss. They may turn up once more: a login that reaches the
        # one node that still has the session renews it with all that was in it.
        lost = replace(_forgotten(due), login=Login.UNSURE)
        return Judgement(found - {Finding.VISITS_LOST, Finding.CART_LOST}, tells, lost)
    after = _narrowed(due, answer)
    return Judgement(found, tells, replace(after, cart=_unsure(after.cart)) if after.late_emptying else after)


def _shows_session(operation: Operation, answer: Answer) -> bool:
    """A write that finds no session makes one, so its cookie tells; nothing is made to empty a cart that is not."""
    return answer.replaced is not UNSET and operation.action in (Action.VISIT, Action.ADD)


def _carried_out(before: Expected, operation: Operation) -> Expected:
    match operation.action:
        case Action.LOGIN:
            return replace(before, login=Login.IN, late_emptying=False)
        case Action.LOGOUT:
            return replace(before, login=Login.OUT, visits=NONE, cart={}, late_emptying=False)
        case Action.VISIT:
            return replace(before, visits=Span(before.visits.low + 1, before.visits.high + 1))
        case Action.ADD:
            low, high = before.cart.get(operation.item, NONE)
            return replace(
                before, cart={**before.cart, operation.item: Span(low + operation.quantity, high + operation.quantity)}
            )
        case Action.EMPTY:
            # An addition that ended as unknown may still arrive in the emptied cart.
            late = {item: Span(0, span.high - span.low) for item, span in before.cart.items() if span.high > span.low}
            return replace(before, cart=late)
        case Action.LOOK | Action.ACCOUNT:
            return before


def _perhaps(before: Expected, operation: Operation) -> Expected:
    match operation.action:
        case Action.LOGIN | Action.LOGOUT:
            # The new id may be lost on its way to us: the old one is dead then, with all that was in the session.
            return replace(_forgotten(before), login=Login.UNSURE)
        case Action.VISIT:
            return replace(before, visits=Span(before.visits.low, before.visits.high + 1))
        case Action.ADD:
            low, high = before.cart.get(operation.item, NONE)
            return replace(before, cart={**before.cart, operation.item: Span(low, high + operation.quantity)})
        case Action.EMPTY:
            return replace(before, cart=_unsure(before.cart), late_emptying=True)
        case Action.LOOK | Action.ACCOUNT:
            return before


def _forgotten(expected: Expected) -> Expected:
    return replace(expected, visits=Span(0, expected.visits.high), cart=_unsure(expected.cart))


def _unsure(cart: Mapping[str, Span]) -> Mapping[str, Span]:
    return {item: Span(0, span.high) for item, span in cart.items()}


def _compare(before: Expected, due: Expected, operation: Operation, answer: Answer) -> frozenset[Finding]:
    found = set()
    if answer.user is not UNSET:
        if answer.user not in (None, due.name):
            found.add(Finding.CROSSED)
        elif answer.user is None and due.login is Login.IN:
            found.add(Finding.LOGGED_OUT)
        elif answer.user is not None and due.login is Login.OUT:
            found.add(Finding.REVIVED)
    if answer.replaced is True and before.login is Login.IN and operation.action not in (Action.LOGIN, Action.LOGOUT):
        found.add(Finding.LOGGED_OUT)
    if answer.visits is not UNSET:
        if answer.visits < due.visits.low:
            found.add(Finding.VISITS_LOST)
        elif answer.visits > due.visits.high:
            # Only a logout takes visits away, so its own ones can be too many in one way only.
            found.add(Finding.REVIVED if answer.visits <= due.ever_visits else Finding.CROSSED)
    if answer.cart is not UNSET:
        too_many = {item for item, quantity in answer.cart.items() if quantity > due.cart.get(item, NONE).high}
        if any(answer.cart[item] > due.ever_put.get(item, 0) for item in too_many):
            found.add(Finding.CROSSED)
        elif Finding.REVIVED not in found and (too_many or _too_few(due, answer.cart)):
            found.add(Finding.CART_LOST)
    return frozenset(found)


def _too_few(due: Expected, cart: Mapping[str, int]) -> bool:
    return any(cart.get(item, 0) < span.low for item, span in due.cart.items())


def _narrowed(due: Expected, answer: Answer) -> Expected:
    """Take what was shown for the truth, so that one loss is counted once; what is still open may come later."""
    login, visits, cart = due.login, due.visits, due.cart
    if answer.user == due.name and login is Login.UNSURE:
        login = Login.IN
    elif answer.user not in (UNSET, None, due.name) or (answer.user == due.name and login is Login.OUT):
        login = Login.UNSURE  # in a session that should not be: whatever comes next is not held against it
    if answer.visits is not UNSET:
        visits = Span(answer.visits, max(answer.visits, due.visits.high))
    if answer.cart is not UNSET:
        shown = {
            item: Span(answer.cart.get(item, 0), max(answer.cart.get(item, 0), due.cart.get(item, NONE).high))
            for item in {*answer.cart, *due.cart}
        }
        cart = {item: span for item, span in shown.items() if span.high}
    return replace(due, login=login, visits=visits, cart=cart)
