"""The HTTP interface of the nodes for virtual users: the requests of each operation, and the parsing of their answers.

Only an `Adapter` knows the interface, so another application needs only another adapter.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET, UnsetType

from loadtest.history import Action, OpOutcome


def last_node(lines: Sequence[str]) -> str:
    """Return the node that answered, from the lines of the header that names it: of several, as nginx's
    $upstream_addr has them after a second try, the last."""
    return printable(", ".join(lines)).rpartition(", ")[2]


def printable(text: str) -> str:
    """Return text of a server with its control characters escaped, for a terminal."""
    return text if text.isprintable() else "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a virtual user; `item` and `quantity` belong to ADD.

    `password` is the number of the password that is sent, of the new one in a change; 0: not told. `may_fail`: it
    may be an old one, whose refusal is not a failure.
    """

    action: Action
    item: str = ""
    quantity: int = 0
    password: int = 0
    new_password: str = ""
    may_fail: bool = False


class Request(NamedTuple):
    """A request with a JSON body, or with `data` as `headers` describe it.

    `name` replaces the path in figures. `before`: it prepares the operation, and writes nothing.
    """

    method: str
    path: str
    body: Any = None
    data: str | None = None
    headers: Mapping[str, str] | None = None
    name: str = ""
    before: bool = False

    @property
    def shown(self) -> str:
        """The path in figures."""
        return self.name or self.path


class Response(NamedTuple):
    """An HTTP answer. `header` returns the lines of a header."""

    status: int
    body: bytes
    header: Callable[[str], list[str]]


@dataclass(frozen=True, slots=True)
class Answer:
    """How an operation ended, and the values that its answer shows (UNSET: not shown).

    `user` None: no user is logged in. `error` is the failure as HTTP; empty: none. `then` are the requests of a look
    that follows, such as that of the page which a write redirects to: what it shows is not the write's own answer.
    """

    outcome: OpOutcome
    user: str | UnsetType | None = UNSET
    visits: int | UnsetType = UNSET
    cart: Mapping[str, int] | UnsetType = UNSET
    error: str = ""
    then: "Exchange | None" = field(default=None, compare=False)


ADDRESS = "http://HOST[:PORT] or https://HOST[:PORT]"


def is_address(url: str) -> bool:
    """Return whether a URL is an `ADDRESS`; a slash at its end is allowed."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in {"http", "https"} and parts.port != 0 and (parts.hostname or "").encode("idna") != b""
    except ValueError:
        return False
    alone = url.rstrip("/").lower() == f"{parts.scheme}://{parts.netloc}".lower()
    return valid and alone and "@" not in parts.netloc and " " not in parts.netloc


Exchange = Generator[Request, Response, Answer]
"""The requests of one operation, one after another: it gets the answer to each, and returns that of the operation."""
Cookie = Callable[[str], str]
"""Returns the value of a cookie that the browser has; "" if it has none of this name."""


class Adapter(Protocol):
    """Makes requests and parses answers. A msgspec.Struct, so that it can be passed to the processes of Locust."""

    @property
    def site(self) -> str:
        """The path of a page without a session."""

    @property
    def look(self) -> Request:
        """The request of a page that shows who is logged in."""

    @property
    def actions(self) -> frozenset[Action]:
        """The operations that it has requests for."""

    @property
    def node_header(self) -> str:
        """The name of the header with the node that answered."""

    @property
    def cookie_changes(self) -> bool:
        """Whether every answer may bring another value of the session's cookie."""

    def exchange(self, operation: Operation, account: str, password: str, cookie: Cookie) -> Exchange:
        """Return the requests that carry an operation out for an account ("": the visitor has none)."""


_OK = {
    Action.LOOK: {200},
    Action.ACCOUNT: {200, 401},
    Action.LOGIN: {200},
    Action.LOGOUT: {200, 204},
    Action.VISIT: {200},
    Action.ADD: {200, 201},
    Action.EMPTY: {200, 204},
    Action.LIST: {200, 401},
    Action.END_OTHERS: {200},
    Action.PASSWORD: {204},
}
_WRITES = {Action.VISIT, Action.ADD, Action.EMPTY, Action.LOGIN, Action.PASSWORD, Action.END_OTHERS}
_FOR_USERS = {Action.PASSWORD, Action.END_OTHERS}
_WRONG_PASSWORD = {401, 429}
_WITHOUT_BODY = {Action.LOGOUT, Action.EMPTY, Action.LIST, Action.END_OTHERS, Action.PASSWORD}
_REQUIRED = {Action.LOOK: "user", Action.LOGIN: "user", Action.VISIT: "visits", Action.ADD: "cart"}


class _Shown(msgspec.Struct):
    user: str | UnsetType | None = UNSET
    visits: int | UnsetType = UNSET
    cart: dict[str, int] | UnsetType = UNSET


class HttpInterface(msgspec.Struct, frozen=True):
    """The interface of docs/http-api.md, of the Flask nodes and the reference implementations."""

    site = "/live"
    look = Request("GET", "/me")
    actions = frozenset(Action)
    node_header = "X-Served-By"
    cookie_changes = False

    def exchange(self, operation: Operation, account: str, password: str, cookie: Cookie) -> Exchange:  # noqa: ARG002
        """Return the only request that carries an operation out for an account."""
        response = yield self.request(operation, account, password)
        return self.read(operation, response.status, response.body)

    def request(self, operation: Operation, account: str, password: str) -> Request:
        """Return the request that carries an operation out for an account."""
        match operation.action:
            case Action.LOOK:
                return Request("GET", "/me")
            case Action.ACCOUNT:
                return Request("GET", "/account")
            case Action.LOGIN:
                return Request("POST", "/login", {"user": account, "password": password})
            case Action.LOGOUT:
                return Request("POST", "/logout", {})
            case Action.VISIT:
                return Request("POST", "/visits", {})
            case Action.ADD:
                return Request("POST", "/cart", {"item": operation.item, "quantity": operation.quantity})
            case Action.EMPTY:
                return Request("DELETE", "/cart")
            case Action.LIST:
                return Request("GET", "/sessions")
            case Action.END_OTHERS:
                return Request("DELETE", "/sessions")
            case Action.PASSWORD:
                return Request("POST", "/password", {"current": password, "new": operation.new_password})

    def read(self, operation: Operation, status: int, body: bytes) -> Answer:
        """Parse an HTTP answer.

        A status from 500 on leaves the outcome unknown, because a 502 or 504 may hide a write. Any other unexpected
        status means that nothing was done. 409 to a write is not an error: the session was ended meanwhile, or renewed.
        Nor is 401 to an operation on the account: its user is not logged in any more, as a read shows.
        """
        action = operation.action
        if status >= 500:
            return Answer(OpOutcome.UNKNOWN, error=f"status {status}")
        if (status == 409 and action in _WRITES) or (status == 401 and action in _FOR_USERS):
            return Answer(OpOutcome.FAIL)
        if status in _WRONG_PASSWORD and operation.may_fail:
            return Answer(OpOutcome.FAIL)
        if status not in _OK[action]:
            return Answer(OpOutcome.FAIL, error=f"status {status}")
        if status == 401:
            return Answer(OpOutcome.OK, user=None)
        shown = _Shown()
        if body and action not in _WITHOUT_BODY:
            try:
                shown = msgspec.json.decode(body, type=_Shown)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                return Answer(OpOutcome.UNKNOWN, error=f"not the JSON of the interface: {error}")
        required = _REQUIRED.get(action)
        if required is not None and getattr(shown, required) is UNSET:
            return Answer(OpOutcome.UNKNOWN, error=f"the answer has no {required!r}")
        user = printable(shown.user) if isinstance(shown.user, str) else shown.user
        return Answer(OpOutcome.OK, user, shown.visits, shown.cart)
