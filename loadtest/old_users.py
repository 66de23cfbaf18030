"""Virtual users for Locust. Each is one browser with its own cookies and knows what its session should hold."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gevent import GreenletExit
from locust import FastHttpUser, between, task

from loadtest.browser import Browser, Sent
from loadtest.history import STOPPED, now
from loadtest.ledger import NONE, Action, Answer, Expected, Finding, Judgement, Login, Operation, Outcome, judge
from loadtest.observation import Observation, Request, read_answer, request_of

FRUIT = ("apple", "pear", "plum", "cherry")


@dataclass
class Load:
    """What all users of a run share. Give it to Locust's environment with `attach` before users are spawned.

    `record` is called with every request as it ends, and `stopped` with those that are in flight when the run is
    stopped. `cookie` is the name of the session's cookie; a node that does not know a session answers a write with a
    new one, and only that cookie tells.
    """

    accounts: Mapping[str, str]
    record: Callable[[Observation], None]
    cookie: str = "session"
    stopped: Callable[[Observation], None] = lambda _: None
    worker: int = 0
    workers: int = 1
    """Of several processes, which one this is: no two users of a run have the same number."""
    _numbers: Iterator[int] = field(init=False)
    _names: Iterator[str] = field(init=False)

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1 + self.worker, self.workers)
        self._names = itertools.islice(itertools.cycle(self.accounts), self.worker, None, self.workers)

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
        self.browser = Browser(self.who, self.load.cookie)
        agent: Any = self.client.client
        agent.cookiejar = None  # the browser has the cookies
        agent.redirect_response_codes = frozenset()

    def on_start(self) -> None:
        self.perform(Operation(Action.LOGIN))

    def log_in(self) -> None:
        """With a new session, as in a browser that has none: whatever became of the old one is no part of it."""
        self.browser.fresh()
        self.expected = replace(self.expected, login=Login.OUT, visits=NONE, cart={}, late_emptying=False)
        self.perform(Operation(Action.LOGIN))

    def act(self, action: Action, item: str = "", quantity: int = 0) -> None:
        """Do something as a logged-in user: log in first if need be, and again if the answer shows that it is out."""
        if self.expected.login is not Login.IN:
            self.log_in()
        self.perform(Operation(action, item, quantity))
        if self.expected.login is not Login.IN:
            self.log_in()

    def perform(self, operation: Operation) -> Judgement:
        """Send one operation and judge the answer."""
        before = self.expected
        judgement = self.send(operation, self.who, before, lambda answer: judge(before, operation, answer)).judgement
        self.expected = judgement.after
        return judgement

    def send(
        self,
        operation: Operation,
        who: str,
        expected: Expected | None,
        judge: Callable[[Answer], Judgement],
        cookie: str | None = None,
    ) -> Observation:
        """Send one operation, and tell Locust and the record. `cookie`: that one instead of the session's own."""
        request = request_of(operation, self.account, self._password)
        sent = self.browser.sending(cookie)
        started = now()

        def observed(answer: Answer, judgement: Judgement, response: Any, error: str | None) -> Observation:
            return Observation(
                who=who,
                account=self.account,
                session=sent.session,
                operation=operation,
                answer=answer,
                judgement=judgement,
                expected=expected,
                method=request.method,
                path=request.path,
                status=response.status_code if response is not None else 0,
                error=error,
                node=_header(response, "X-Served-By"),
                upstream=_header(response, "X-Upstream"),
                upstream_status=_header(response, "X-Upstream-Status"),
                started=started,
                ended=now(),
            )

        try:
            with self._request(request, sent) as response:
                answer, error = self._read(operation, response, sent)
                judgement = judge(answer)
                observation = observed(answer, judgement, response, error)
                if error is None:
                    response.success()
                else:
                    response.failure(error)
                response.request_meta["name"] = row_name(request.path, judgement.findings)
        except GreenletExit:
            unknown = Answer(Outcome.UNKNOWN)
            self.load.stopped(observed(unknown, judge(unknown), None, STOPPED))
            raise
        self.load.record(observation)
        return observation

    def _request(self, request: Request, sent: Sent) -> Any:
        return self.client.request(
            request.method,
            request.path,
            name=request.path,
            json=request.body,
            headers={"Cookie": sent.header} if sent.header else None,
            catch_response=True,
        )

    def _read(self, operation: Operation, response: Any, sent: Sent) -> tuple[Answer, str | None]:
        if response.status_code:
            replaced = self.browser.receive(
                _header_lines(response, "Set-Cookie"), sent, login=operation.action is Action.LOGIN
            )
            return read_answer(operation, response.status_code, response.content or b"", replaced)
        # Refused means that nobody was there to do anything; everything else may have been carried out.
        outcome = Outcome.FAIL if isinstance(response.error, ConnectionRefusedError) else Outcome.UNKNOWN
        return Answer(outcome), f"no answer: {type(response.error).__name__}"


def row_name(path: str, findings: frozenset[Finding]) -> str:
    """The row of Locust's tables that a request is counted in: what was found wrong has a row of its own."""
    worst = next((finding for finding in reversed(Finding) if finding in findings), None)
    return path if worst is None else f"{path} [{worst}]"


def _header(response: Any, name: str) -> str:
    return ", ".join(_header_lines(response, name))


def _header_lines(response: Any, name: str) -> list[str]:
    found = response.headers.get(name) if response is not None and response.headers else None
    return [found] if isinstance(found, str) else list(found or ())


class Everyday(SessionUser):
    """What all users do who have a session to themselves; each class adds its own."""

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


class Leaver(Everyday):
    """Works, logs out, makes sure with the old cookie that it is out, and logs in again."""

    weight = 1

    @task(1)
    def leave(self) -> None:
        self.perform(Operation(Action.LOGOUT))
        self.perform(Operation(Action.LOOK))
        self.perform(Operation(Action.ACCOUNT))
        self.log_in()
        self.act(Action.LOOK)
