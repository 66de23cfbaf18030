"""Virtual users for Locust. Each is one browser with its own cookies, and logs in again after a lost session.

A user only notices a logout. The checker finds the losses in the history of a run.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import gevent
from gevent import GreenletExit
from locust import FastHttpUser, between, task
from msgspec import UNSET

from loadtest.browser import Browser, Expectation, Received, Sent
from loadtest.history import GAVE_UP, STOPPED, Action, Op, OpOutcome, now
from loadtest.http import Adapter, Answer, HttpInterface, Operation, printable

FRUIT = ("apple", "pear", "plum", "cherry")
LOGGED_OUT = "logged out"
"""The remark of a user that never logged out and gets an answer for an anonymous user."""


@dataclass
class Load:
    """Shared by all users of a process. Call `attach` on Locust's environment before users are spawned.

    `record` is called with every operation as it ends. The process is number `worker` (from 0) of `workers`: no two
    users of a run have the same number.
    """

    accounts: Mapping[str, str]
    record: Callable[[Op], None]
    session_cookie: str = "session"
    adapter: Adapter = field(default_factory=HttpInterface)
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

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.load: Load = environment.session_load
        number, self.account, self._password = self.load.next_user()
        self.who = f"{type(self).__name__.lower()}-{number}"
        self.expectation = Expectation(self.account)
        self.browser = Browser(self.who, self.load.session_cookie)
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
        """Send one operation, record it and tell Locust.

        `cookie`, `browser` and `password` replace those of the user. Without an expectation, every answer is accepted.
        The user gives up after `patience` seconds.
        """
        browser = browser or self.browser
        request = self.load.adapter.request(operation, self.account, password or self._password)
        sent = browser.sending(cookie)
        started = now()
        expected_user = UNSET if expectation is None else expectation.user

        def make_op(answer: Answer, received: Received, response: Any = None, logged_out: bool = False) -> Op:
            return Op(
                who=who,
                account=self.account,
                session=sent.session,
                action=operation.action,
                item=operation.item,
                quantity=operation.quantity,
                outcome=answer.outcome,
                user=answer.user,
                visits=answer.visits,
                cart=answer.cart,
                replaced=received.replaced,
                held=sent.held,
                brought=received.brought,
                password=operation.password,
                method=request.method,
                path=request.path,
                status=0 if response is None else response.status_code,
                shed=response is not None and response.status_code == 503 and _header(response, "Retry-After") != "",
                error=answer.error,
                node=_header(response, "X-Served-By"),
                upstream=_header(response, "X-Upstream"),
                upstream_status=_header(response, "X-Upstream-Status"),
                expected_user=expected_user,
                found=(LOGGED_OUT,) if logged_out else (),
                started=round(started, 6),
                ended=round(now(), 6),
            )

        try:
            with (
                gevent.Timeout(patience, GaveUpError),
                self.client.request(
                    request.method,
                    request.path,
                    name=request.path,
                    json=request.body,
                    headers={"Cookie": sent.header} if sent.header else None,
                    catch_response=True,
                ) as response,
            ):
                answer, received = self._read(operation, response, sent, browser)
                logged_out = expectation is not None and expectation.update(operation.action, answer, received.replaced)
                op = make_op(answer, received, response, logged_out)
                if answer.error:
                    response.failure(answer.error)
                else:
                    response.success()
                if logged_out:  # a row of its own in Locust's tables
                    response.request_meta["name"] = f"{request.path} [{LOGGED_OUT}]"
        except GreenletExit:
            self.load.record(make_op(Answer(OpOutcome.UNKNOWN, error=STOPPED), Received()))
            raise
        except GaveUpError:
            op = make_op(Answer(OpOutcome.UNKNOWN, error=GAVE_UP), Received())
        self.load.record(op)
        return op

    def _read(self, operation: Operation, response: Any, sent: Sent, browser: Browser) -> tuple[Answer, Received]:
        """Return the answer, and what it does to the browser's cookies."""
        if not response.status_code:
            # A refused connection reached no server. After any other error the request may have been carried out.
            outcome = OpOutcome.FAIL if isinstance(response.error, ConnectionRefusedError) else OpOutcome.UNKNOWN
            return Answer(outcome, error=f"no answer: {type(response.error).__name__}"), Received()
        received = browser.receive(_header_lines(response, "Set-Cookie"), sent, operation.action)
        answer = self.load.adapter.read(operation, response.status_code, response.content or b"")
        if answer.outcome is OpOutcome.OK and not browser.knows(sent):
            if operation.action is Action.LOGIN:
                return Answer(OpOutcome.UNKNOWN, error=f"the login set no cookie {browser.cookie!r}"), Received()
            if sent.header:  # the session may be in another cookie
                answer = Answer(OpOutcome.OK)
        return answer, received if answer.outcome is OpOutcome.OK else Received()


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
        self.act(Action.EMPTY)


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
