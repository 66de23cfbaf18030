"""The HTTP interface as a virtual user sees it: what it sends, what it reads, and the record of one request.

The requests are those of the README's table, so a load test works on any cluster that speaks it, ours or not.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from loadtest.ledger import Action, Answer, Expected, Judgement, Operation, Outcome


class Request(NamedTuple):
    """A JSON request; `expected` are the statuses that are no failure."""

    method: str
    path: str
    body: Mapping[str, str | int] | None
    expected: frozenset[int]


def request_of(operation: Operation, name: str, password: str) -> Request:
    """The request that carries an operation out, for the account `name`."""
    match operation.action:
        case Action.LOOK:
            return Request("GET", "/me", None, frozenset({200}))
        case Action.ACCOUNT:
            return Request("GET", "/account", None, frozenset({200, 401}))
        case Action.LOGIN:
            return Request("POST", "/login", {"user": name, "password": password}, frozenset({200}))
        case Action.LOGOUT:
            return Request("POST", "/logout", {}, frozenset({200, 204}))
        case Action.VISIT:
            return Request("POST", "/visits", {}, frozenset({200}))
        case Action.ADD:
            return Request(
                "POST", "/cart", {"item": operation.item, "quantity": operation.quantity}, frozenset({200, 201})
            )
        case Action.EMPTY:
            return Request("DELETE", "/cart", None, frozenset({200, 204}))


class _Shown(msgspec.Struct):
    user: str | UnsetType | None = UNSET
    visits: int | UnsetType = UNSET
    cart: dict[str, int] | UnsetType = UNSET


WRITES = frozenset({Action.VISIT, Action.ADD, Action.EMPTY})
REQUIRED = {Action.LOOK: "user", Action.LOGIN: "user", Action.VISIT: "visits", Action.ADD: "cart"}


def read_answer(
    operation: Operation, status: int, body: bytes, replaced: bool | UnsetType = UNSET
) -> tuple[Answer, str | None]:
    """An HTTP answer as the ledger wants it, and what is wrong with it as HTTP (None: nothing).

    A status from 500 on leaves the outcome unknown (a 502 or 504 may hide a write that happened); any other status
    that the interface does not know says that nothing was done. So does 409 to a write, and is right: the session was
    ended while the write was under way.
    """
    request = request_of(operation, "", "")
    if status >= 500:
        return Answer(Outcome.UNKNOWN), f"status {status}"
    if status == 409 and operation.action in WRITES:
        return Answer(Outcome.FAIL), None
    if status not in request.expected:
        return Answer(Outcome.FAIL), f"status {status}"
    if status == 401:
        return Answer(Outcome.OK, user=None, replaced=replaced), None
    if not body or operation.action in (Action.LOGOUT, Action.EMPTY):
        shown = _Shown()
    else:
        try:
            shown = msgspec.json.decode(body, type=_Shown)
        except msgspec.DecodeError as error:
            return Answer(Outcome.UNKNOWN), f"not the JSON of the interface: {error}"
    required = REQUIRED.get(operation.action)
    if required is not None and getattr(shown, required) is UNSET:
        return Answer(Outcome.UNKNOWN), f"the answer has no {required!r}"
    return Answer(Outcome.OK, shown.user, shown.visits, shown.cart, replaced), None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One request of one virtual user: everything a history of the run needs to know about it.

    `who` is the virtual user ("shopper-7"), `account` whom it logs in as; several may share an account. `session` names
    the session whose cookie was sent along. `expected` is what the user expected before; None if others use the session
    too, so that it cannot know. `node` is the answer's X-Served-By, `upstream` the proxy's X-Upstream (the addresses it
    tried) and `upstream_status` its X-Upstream-Status ("502, 200" after a retry); all empty if the answer has none.
    `status` 0: no answer at all. `started` and `ended` by the history's clock, in epoch seconds.
    """

    who: str
    account: str
    session: str
    operation: Operation
    answer: Answer
    judgement: Judgement
    expected: Expected | None
    method: str
    path: str
    status: int
    error: str | None
    node: str
    upstream: str
    upstream_status: str
    started: float
    ended: float

    @property
    def retried(self) -> bool:
        """The proxy asked a second node."""
        return "," in self.upstream_status
