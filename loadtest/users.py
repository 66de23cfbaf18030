"""Virtual users for Locust. Each is one browser with its own cookies and knows what its session should hold."""

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from locust import FastHttpUser, between, task
from msgspec import UNSET, UnsetType

from loadtest.ledger import Action, Answer, Expected, Finding, Judgement, Login, Operation, Outcome, judge
from loadtest.observation import Observation, read_answer, request_of

FRUIT = ("apple", "pear", "plum", "cherry")


@dataclass
class Load:
    """What all users of a run share. Give it to Locust's environment with `attach` before users are spawned.

    `record` is called with every request as it ends. `cookie` is the name of the session's cookie; a node that does
    not know a session answers a write with a new one, and only that cookie tells.
    """

    accounts: Mapping[str, str]
    record: Callable[[Observation], None]
    cookie: str = "session"
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _names: Iterator[str] = field(init=False)

    def __post_init__(self) -> None:
        self._names = itertools.cycle(self.accounts)

    def attach(self, environment: Any) -> None:
        environment.session_load = self

    def next_user(self) -> tuple[int, str, str]:
        """A number, and the account to log in as: name and password. Accounts are dealt out in turn."""
        name = next(self._names)
        return next(self._numbers), name, self.accounts[name]


class SessionUser(FastHttpUser):
    """Sends operations, has each answer judged, and logs in again at once whenever it is found logged out.

    At once, so that the share of requests that find the user logged out is what theory says: (N-1)/N for N nodes
    that each keep their own sessions and take turns.
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
        self.expected = Expected(self.account)

    def on_start(self) -> None:
        self.act(Action.LOGIN)

    def act(self, action: Action, item: str = "", quantity: int = 0) -> None:
        """Do something as a logged-in user: log in first if need be, and again if the answer shows that it is out."""
        if action is not Action.LOGIN and self.expected.login is not Login.IN:
            self.perform(Operation(Action.LOGIN))
        self.perform(Operation(action, item, quantity))
        if action is not Action.LOGIN and self.expected.login is not Login.IN:
            self.perform(Operation(Action.LOGIN))

    def perform(self, operation: Operation) -> Judgement:
        """Send one operation, judge the answer, and tell Locust and the record."""
        request = request_of(operation, self.account, self._password)
        cookie, started = self._cookie(), time.time()
        with self.client.request(
            request.method,
            request.path,
            name=request.path,
            json=request.body,
            catch_response=True,
            allow_redirects=False,
        ) as response:
            answer, error = self._read(operation, response, cookie)
            judgement = judge(self.expected, operation, answer)
            self.expected = judgement.after
            if error is None:
                response.success()
            else:
                response.failure(error)
            meta = response.request_meta
            meta["name"] = row_name(request.path, judgement.findings)
        self.load.record(
            Observation(
                who=self.who,
                account=self.account,
                operation=operation,
                answer=answer,
                judgement=judgement,
                method=request.method,
                path=request.path,
                status=response.status_code,
                error=error,
                node=_header(response, "X-Served-By"),
                upstream_status=_header(response, "X-Upstream-Status"),
                started=started,
                milliseconds=meta["response_time"],
            )
        )
        return judgement

    def _read(self, operation: Operation, response: Any, cookie: str | None) -> tuple[Answer, str | None]:
        if response.status_code:
            replaced: bool | UnsetType = UNSET if cookie is None else self._cookie() != cookie
            return read_answer(operation, response.status_code, response.content or b"", replaced)
        # Refused means that nobody was there to do anything; everything else may have been carried out.
        outcome = Outcome.FAIL if isinstance(response.error, ConnectionRefusedError) else Outcome.UNKNOWN
        return Answer(outcome), f"no answer: {type(response.error).__name__}"

    def _cookie(self) -> str | None:
        names = (self.load.cookie, f"__Host-{self.load.cookie}")
        return next((cookie.value for cookie in self.client.cookiejar if cookie.name in names), None)

    # What all of them do; each class adds its own.
    @task(6)
    def look(self) -> None:
        self.act(Action.LOOK)

    @task(2)
    def visit(self) -> None:
        self.act(Action.VISIT)


def row_name(path: str, findings: frozenset[Finding]) -> str:
    """The row of Locust's tables that a request is counted in: what was found wrong has a row of its own."""
    worst = next((finding for finding in reversed(Finding) if finding in findings), None)
    return path if worst is None else f"{path} [{worst}]"


def _header(response: Any, name: str) -> str:
    return str(response.headers.get(name, "")) if response.headers else ""


class Visitor(SessionUser):
    """Mostly reads, and leaves a visit now and then."""

    weight = 6

    @task(1)
    def account_page(self) -> None:
        self.act(Action.ACCOUNT)


class Shopper(SessionUser):
    """Fills a cart, looks at it, and empties it sometimes. Its items carry its name: nobody else has them."""

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


class Leaver(SessionUser):
    """Works, logs out, makes sure that it is out, and logs in again."""

    weight = 1

    @task(1)
    def leave(self) -> None:
        self.perform(Operation(Action.LOGOUT))
        self.perform(Operation(Action.LOOK))
        self.perform(Operation(Action.ACCOUNT))
        self.act(Action.LOGIN)
        self.act(Action.LOOK)
