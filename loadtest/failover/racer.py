"""Workers that share one session on purpose, each with a connection of its own, and write down what they do.

Locust's users have a session each. What several requests do to one session at the same moment needs somebody who sends
them at the same moment, so these are threads with a barrier between them.
"""

import http.client
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET, UnsetType

from loadtest.history import Op
from loadtest.ledger import Action, Answer, Operation, Outcome
from loadtest.observation import read_answer, request_of

TIMEOUT = 20.0  # above the proxy's own 15 s, so that its answer comes first
Record = Callable[[Op], None]


@dataclass
class SharedSession:
    """One session that several workers use, as the login left it. `cookie` is the name of the session's cookie."""

    name: str
    account: str
    password: str = field(repr=False)
    cookie: str
    cookies: dict[str, str] = field(default_factory=dict, repr=False)


class Racer:
    """One worker. Not thread-safe: each has a thread of its own. `record` is called with each request as it ends."""

    def __init__(self, url: str, who: str, record: Record) -> None:
        self.who = who
        self._place = urlsplit(url).netloc
        self._record = record
        self._connection = http.client.HTTPConnection(self._place, timeout=TIMEOUT)

    def close(self) -> None:
        self._connection.close()

    def do(self, session: SharedSession, operation: Operation) -> Outcome:
        """One request with the session's cookies; a login keeps those that it is given."""
        request = request_of(operation, session.account, session.password)
        sent = dict(session.cookies)
        started = time.time()
        status, headers, body, error = self._send(request.method, request.path, request.body, sent)
        ended = time.time()
        replaced: bool | UnsetType = UNSET
        given = _cookies(headers)
        name = next((name for name in (session.cookie, f"__Host-{session.cookie}") if name in sent), None)
        if name is not None:
            replaced = name in given and given[name] not in {"", sent[name]}
        if status:
            answer, complaint = read_answer(operation, status, body, replaced)
            error = complaint or ""
        else:
            answer = Answer(Outcome.FAIL if error == "ConnectionRefusedError" else Outcome.UNKNOWN)
            error = f"no answer: {error}"
        if operation.action is Action.LOGIN and answer.outcome is Outcome.OK:
            session.cookies.update(given)
        self._record(
            Op(
                who=self.who,
                account=session.account,
                session=session.name,
                action=operation.action,
                item=operation.item,
                quantity=operation.quantity,
                outcome=answer.outcome,
                user=answer.user,
                visits=answer.visits,
                cart=answer.cart,
                replaced=answer.replaced,
                method=request.method,
                path=request.path,
                status=status,
                error=error,
                node=headers.get("X-Served-By", ""),
                upstream=headers.get("X-Upstream", ""),
                upstream_status=headers.get("X-Upstream-Status", ""),
                started=started,
                ended=ended,
            )
        )
        return answer.outcome

    def _send(
        self, method: str, path: str, body: object, cookies: dict[str, str]
    ) -> tuple[int, http.client.HTTPMessage, bytes, str]:
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        if cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        try:
            self._connection.request(method, path, None if body is None else msgspec.json.encode(body), headers)
            response = self._connection.getresponse()
            return response.status, response.headers, response.read(), ""
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()  # whatever comes late must not be taken for the next answer
            return 0, http.client.HTTPMessage(), b"", type(error).__name__


def _cookies(headers: http.client.HTTPMessage) -> dict[str, str]:
    given: dict[str, str] = {}
    for line in headers.get_all("Set-Cookie", []):
        with suppress(CookieError):
            # The value as it was sent: a client hands it back unread.
            name = next(iter(SimpleCookie(line)), None)
            if name is not None:
                given[name] = line.partition("=")[2].partition(";")[0]
    return given


def together(racers: int, act: Callable[[int], None]) -> None:
    """`act(number)` in so many threads, let go at the same moment; returns when all are done.

    Raises the first error of any of them.
    """
    barrier = threading.Barrier(racers)
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            barrier.wait(timeout=30)
            act(number)
        except BaseException as error:  # noqa: BLE001 - handed on to whoever waits
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(racers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
