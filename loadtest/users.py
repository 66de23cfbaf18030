"""Virtual users for Locust. Each is one browser with its own cookies, and logs in again after a lost session.

A user only notices a logout. The checker finds the losses in the history of a run.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import gevent
from gevent import GreenletExit
from locust import FastHttpUser, between, task
from msgspec import UNSET

from loadtest.browser import Browser, Expectation
from loadtest.conversation import Conversation
from loadtest.described.adapter import DescribedAdapter
from loadtest.described.interface import http_interface
from loadtest.history import GAVE_UP, STOPPED, Action, Op, OpOutcome, now
from loadtest.operations import Answer, Operation, Response, last_node, printable

_Browser = TypeVar("_Browser", bound=Browser)
FRUIT = ("apple", "pear", "plum", "cherry")
LOGGED_OUT = "logged out"
"""The remark of a user that never logged out and gets an answer for an anonymous user."""
INSTEAD = {Action.EMPTY: Action.LOOK, Action.ADD: Action.VISIT, Action.VISIT: Action.LOOK}
"""What users do where the target has no request for an operation; in place of any other one they look."""


@dataclass
class Load:
    """Shared by all users of a process. Call `attach` on Locust's environment before users are spawned.

    `record` is called with every operation as it ends. The process is number `worker` (from 0) of `workers`: no two
    users of a run have the same number.
    """

    accounts: Mapping[str, str]
    record: Callable[[Op], None]
    session_cookie: str = "session"
    adapter: DescribedAdapter = field(default_factory=http_interface)
    worker: int = 0
    workers: int = 1
    _numbers: Iterator[int] = field(init=False)
    _names: Iterator[str] = field(init=False)

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1 + self.worker, self.workers)
        self._names = itertools.islice(itertools.cycle(self.accounts), self.worker, None, self.workers)

    def attach(self, environment: Any) -> None:
        """Make the load available to the users of an environment."""
        environment.session_load = self

    def next_user(self) -> tuple[int, str, str]:
        """Return a new user's number, account and password. Accounts are dealt out in turn."""
        name = next(self._names)
        return next(self._numbers), name, self.accounts[name]

    def make_browser(self, kind: type[_Browser], who: str) -> _Browser:
        """Return a browser for the target."""
        return kind(who, self.session_cookie, self.adapter.cookie_changes)

    def can(self, action: Action) -> bool:
        """Return whether the target has a request for an operation."""
        return action in self.adapter.actions

    def adapt(self, operation: Operation) -> Operation:
        """Return the operation, or what is done instead where the target has no request for it."""
        actions = self.adapter.actions
        if operation.action in actions:
            return operation
        action = operation.action
        while action not in actions:
            action = INSTEAD.get(action, Action.LOOK)
        return Operation(action)


class GaveUpError(Exception):
    """The user did not wait for an answer any longer."""


class SessionUser(FastHttpUser):
    """Sends operations, and logs in again at once when it finds itself logged out.

    At once, so that the share of requests that find the user logged out agrees with theory: (N-1)/N for N nodes that
    keep their own sessions and take turns.
    """

    abstract = True
    wait_time = between(0.5, 1.5)
    # Longer than the proxy's own timeout (15 s), so that its answer comes first.
    network_timeout = 20.0
    connection_timeout = 5.0
    default_headers = {"Accept": "application/json"}  # noqa: RUF012  # Locust's interface
    needs: frozenset[Action] = frozenset()
    """Operations without which a target is not for these users."""

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.load: Load = environment.session_load
        number, self.account, self._password = self.load.next_user()
        self.who = f"{type(self).__name__.lower()}-{number}"
        self.expectation = Expectation(self.account)
        self.browser = self.load.make_browser(Browser, self.who)
        agent: Any = self.client.client
        agent.cookiejar = None  # the browser has the cookies
        agent.redirect_response_codes = frozenset()

    def on_start(self) -> None:
        self.perform(Operation(Action.LOGIN))

    def log_in(self) -> None:
        """Log in with a new session, as a browser without one does."""
        self.browser.fresh()
        self.expectation = Expectation(self.account)
        self.perform(Operation(Action.LOGIN))

    def act(self, action: Action, item: str = "", quantity: int = 0) -> None:
        """Send an operation as a logged-in user: log in before if necessary, and again if the answer shows a logout."""
        if not self.expectation.is_logged_in:
            self.log_in()
        self.perform(Operation(action, item, quantity))
        if not self.expectation.is_logged_in:
            self.log_in()

    def perform(self, operation: Operation) -> Op:
        """Send one operation and compare the answer with the expectation."""
        return self.send(operation, self.who, self.expectation)

    def send(
        self,
        operation: Operation,
        who: str,
        expectation: Expectation | None = None,
        *,
        cookie: str | None = None,
        browser: Browser | None = None,
        password: str = "",
        patience: float | None = None,
    ) -> Op:
        """Send one operation, record it and tell Locust. The look that its answer leads to is recorded by itself.

        `cookie`, `browser` and `password` replace those of the user. Without an expectation, every answer is accepted.
        The user gives up after `patience` seconds.
        """
        browser, operation = browser or self.browser, self.load.adapt(operation)
        exchange = self.load.adapter.exchange(operation, self.account, password or self._password, browser.value)
        talk = Conversation(exchange, browser, operation.action, cookie)
        op = self._carry_out(operation, talk, who, expectation, patience)
        if (look := talk.look()) is not None:
            self._carry_out(Operation(Action.LOOK), look, who, expectation, patience)
        return op

    def _carry_out(
        self,
        operation: Operation,
        talk: Conversation,
        who: str,
        expectation: Expectation | None,
        patience: float | None,
    ) -> Op:
        adapter = self.load.adapter
        started = now()
        main: Any = None  # the response to its main request
        expected_user = UNSET if expectation is None else expectation.user

        def make_op(answer: Answer, response: Any = None, logged_out: bool = False) -> Op:
            return Op(
                who=who,
                account=self.account,
                session=talk.sent.session,
                action=operation.action,
                item=operation.item,
                quantity=operation.quantity,
                outcome=answer.outcome,
                user=answer.user,
                visits=answer.visits,
                cart=answer.cart,
                replaced=talk.received.replaced,
                held=talk.main_sent.held,
                brought=talk.received.brought,
                password=operation.password,
                method=talk.main.method,
                path=talk.main.shown,
                status=0 if response is None else response.status_code,
                shed=response is not None and response.status_code == 503 and _header(response, "Retry-After") != "",
                refused=answer.refused,
                error=answer.error,
                node=last_node(_header_lines(main, adapter.node_header)),
                upstream=_header(main, "X-Upstream"),
                upstream_status=_header(main, "X-Upstream-Status"),
                expected_user=expected_user,
                found=(LOGGED_OUT,) if logged_out else (),
                started=round(started, 6),
                ended=round(now(), 6),
            )

        try:
            with gevent.Timeout(patience, GaveUpError):
                while talk.answer is None:
                    request = talk.request
                    with self.client.request(
                        request.method,
                        request.path,
                        name=request.shown,
                        json=request.body,
                        data=request.data,
                        headers=talk.headers,
                        catch_response=True,
                    ) as response:
                        main = response if request is talk.main else main
                        if response.status_code:
                            lines = partial(_header_lines, response)
                            talk.take(Response(response.status_code, response.content or b"", lines))
                        else:
                            refused = isinstance(response.error, ConnectionRefusedError)
                            talk.fail(type(response.error).__name__, refused=refused)
                        if (answer := talk.answer) is None:
                            response.success()
                            if request.before:  # the operation itself begins now
                                started = now()
                            continue
                        replaced = talk.received.replaced
                        logged_out = expectation is not None and expectation.update(operation.action, answer, replaced)
                        op = make_op(answer, response, logged_out)
                        if answer.error:
                            response.failure(answer.error)
                        else:
                            response.success()
                        if logged_out:  # a row of its own in Locust's tables
                            response.request_meta["name"] = f"{request.shown} [{LOGGED_OUT}]"
        except GreenletExit:
            self.load.record(make_op(Answer(OpOutcome.UNKNOWN, error=STOPPED)))
            raise
        except GaveUpError:
            op = make_op(Answer(OpOutcome.UNKNOWN, error=GAVE_UP))
        except Exception as error:  # it was sent, perhaps: no operation may be missing from the history
            what = printable(f"{type(error).__name__}: {error}"[:200])
            self.load.record(make_op(Answer(OpOutcome.UNKNOWN, error=what)))
            raise
        self.load.record(op)
        return op


def _header(response: Any, name: str) -> str:
    return printable(", ".join(_header_lines(response, name)))


def _header_lines(response: Any, name: str) -> list[str]:
    found = response.headers.get(name) if response is not None and response.headers else None
    return [found] if isinstance(found, str) else list(found or ())


class Everyday(SessionUser):
    """Tasks of all users that do not share their session; each class adds its own."""

    abstract = True

    @task(6)
    def look(self) -> None:
        self.act(Action.LOOK)

    @task(2)
    def visit(self) -> None:
        self.act(Action.VISIT)


class Visitor(Everyday):
    """Mostly reads, and leaves a visit now and then."""

    weight = 6

    @task(1)
    def account_page(self) -> None:
        self.act(Action.ACCOUNT)


class Shopper(Everyday):
    """Fills a cart, looks at it, and empties it sometimes. Its items carry its name: no other user has them."""

    weight = 3

    def on_start(self) -> None:
        self._fruit = itertools.cycle(FRUIT)
        super().on_start()

    @task(4)
    def add(self) -> None:
        self.act(Action.ADD, f"{next(self._fruit)} of {self.who}", 1)

    @task(1)
    def empty(self) -> None:
        if self.load.can(Action.EMPTY):
            self.act(Action.EMPTY)
        else:
            self.log_in()  # with a new session, whose cart is empty


class Leaver(Everyday):
    """Works, logs out, checks the logout with the old cookie, and logs in again."""

    weight = 1

    @task(1)
    def leave(self) -> None:
        self.perform(Operation(Action.LOGOUT))
        self.perform(Operation(Action.LOOK))
        self.perform(Operation(Action.ACCOUNT))
        self.log_in()
        self.act(Action.LOOK)
