"""The requests of one operation, one after another, with the cookies of a browser. Pure: no network, no clock."""

from loadtest.browser import Browser, Received
from loadtest.history import Action, OpOutcome
from loadtest.operations import Answer, Exchange, Response

_NOTHING = Received()
NO_COOKIE = "the login set no cookie"


class Conversation:
    """Send `request` with `headers`, and `take` its answer or `fail`, until there is an `answer` to the operation.

    `main` is the request that carries it out, as far as that is known. `cookie` replaces the session's.
    """

    def __init__(self, exchange: Exchange, browser: Browser, action: Action, cookie: str | None = None) -> None:
        self._exchange, self._browser, self._action = exchange, browser, action
        self._given = self._cookie = cookie
        self.request = self.main = next(exchange)
        self.sent = self.main_sent = browser.sending(cookie)
        self.answer: Answer | None = None
        self.received = _NOTHING
        self._came: Received | None = None

    @property
    def headers(self) -> dict[str, str] | None:
        """The headers of the next request."""
        headers, cookies = self.request.headers, self.sent.header
        if headers is None:
            return {"Cookie": cookies} if cookies else None
        return {**headers, "Cookie": cookies} if cookies else dict(headers)

    def take(self, response: Response) -> None:
        """Note the answer to the request: its cookies, and what follows."""
        browser = self._browser
        brought = len(browser.brought)
        came = browser.receive(response.header("Set-Cookie"), self.sent, self._action)
        self._came = came if self._came is None else self._came.then(came)
        if len(browser.brought) > brought:  # a session that the browser is not to keep, and this operation is in
            self._cookie = browser.brought[-1]
        try:
            following = self._exchange.send(response)
        except StopIteration as end:
            self._end(end.value)
            return
        self.sent = browser.sending(self._cookie)
        if self.request.before:
            self.main, self.main_sent = following, self.sent
        self.request = following

    def look(self) -> "Conversation | None":
        """Return the look that follows; None for none, or if the answers are of another session than the browser's."""
        if self.answer is None or self.answer.then is None or self._cookie != self._given:
            return None
        return Conversation(self.answer.then, self._browser, Action.LOOK, self._given)

    def fail(self, reason: str, *, refused: bool = False) -> None:
        """Note that no answer came. A `refused` connection reached no server."""
        nothing_done = self.request.before or (refused and self.request is self.main)
        self.answer = Answer(OpOutcome.FAIL if nothing_done else OpOutcome.UNKNOWN, error=f"no answer: {reason}")

    def _end(self, answer: Answer) -> None:
        if answer.outcome is OpOutcome.OK and not self._browser.knows(self.sent):
            if self._action is Action.LOGIN:
                what = f"{NO_COOKIE} {self._browser.cookie!r}"
                self.answer = Answer(OpOutcome.UNKNOWN, error=what)
                return
            if self.sent.header:  # the session may be in another cookie
                answer = Answer(OpOutcome.OK, then=answer.then)
        if answer.outcome is OpOutcome.OK and self._came is not None:
            self.received = self._came
        self.answer = answer
