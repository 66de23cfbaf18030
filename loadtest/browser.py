"""The cookies of one virtual user, and the account that it expects to be logged in. Pure: no network, no clock."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from msgspec import UNSET, UnsetType

from loadtest.history import Action, OpOutcome
from loadtest.http import Answer


class Sent(NamedTuple):
    """Of one request: the Cookie header, the session's cookie in it, and the name of that session."""

    header: str
    cookie: str | None
    session: str


@dataclass
class Browser:
    """Cookies by name. `cookie` is the name of the session's, which may also come with the prefix __Host-.

    Several requests may be in flight, and each must know its own cookies, so this is not an `http.cookiejar`. One
    browser talks to one host, so only the name, the value and the end of a cookie matter.

    The browser keeps the cookie of its last login until `fresh` is called, even after a logout: only so can it see
    that the session has ended. A write without a session brings the cookie of a new one, which is not used.
    """

    who: str
    cookie: str = "session"
    sessions: int = 1
    brought: list[str] = field(default_factory=list)
    _cookies: dict[str, str] = field(default_factory=dict)
    _session: tuple[str, str] | None = None

    @property
    def session(self) -> str:
        """The name of its session in the history."""
        return f"{self.who}#{self.sessions}"

    def fresh(self) -> None:
        """Forget the session; the next one has another name. Other cookies, such as the proxy's, stay."""
        self.sessions += 1
        self._session = None
        self.brought = []

    def sending(self, other: str | None = None) -> Sent:
        """Return the cookies of the next request. `other`, one of those `brought`, replaces the session's cookie."""
        pairs = list(self._cookies.items())
        value = None
        if self._session is not None:
            name, value = self._session
            value = other or value
            pairs.append((name, value))
        return Sent("; ".join(f"{name}={value}" for name, value in pairs), value, self.session)

    def receive(self, set_cookies: Iterable[str], sent: Sent, *, login: bool) -> bool | UnsetType:
        """Store the cookies that an answer sets.

        Return whether it replaces the session's cookie; UNSET if none was sent.
        """
        replaced = False
        for line in set_cookies:
            pair, _, attributes = line.partition(";")
            name, _, value = pair.strip().partition("=")
            gone = not value or "max-age=0" in attributes.lower().replace(" ", "")
            if name not in (self.cookie, f"__Host-{self.cookie}"):
                self._cookies.pop(name, None)
                if not gone:
                    self._cookies[name] = value
            elif not gone and value != sent.cookie:
                replaced = True
                if sent.session == self.session and (login or self._session is None):
                    self._session = (name, value)
                else:
                    self.brought.append(value)
        if self._session is None and sent.session == self.session:
            self.sessions += 1  # a session without a cookie ends with its only answer
        return UNSET if sent.cookie is None else replaced

    def knows(self, sent: Sent) -> bool:
        """Return whether the session of an answered request has a cookie."""
        return sent.cookie is not None or sent.session == self.session


class Expectation:
    """The account that a session should be logged in as.

    `user` is the account, None after a logout (and before the first login), and UNSET after an operation or an answer
    that leaves it open.
    """

    def __init__(self, account: str) -> None:
        self.account = account
        self.user: str | UnsetType | None = None

    @property
    def is_logged_in(self) -> bool:
        return self.user == self.account

    def update(self, action: Action, answer: Answer, replaced: bool | UnsetType = UNSET) -> bool:
        """Apply an answer. Return True if it shows that the user is logged out without a logout.

        `replaced`: the answer brought another session's cookie, which a write does that finds no session.
        """
        if answer.outcome is OpOutcome.FAIL:
            return False
        changes_user = action in (Action.LOGIN, Action.LOGOUT)
        if answer.outcome is OpOutcome.UNKNOWN:
            self.user = UNSET if changes_user else self.user
            return False
        was_replaced = replaced is True and self.is_logged_in and not changes_user
        if changes_user:
            self.user = self.account if action is Action.LOGIN else None
        if was_replaced or (self.is_logged_in and answer.user is None):
            self.user = UNSET
            return True
        if answer.user == self.account and self.user is UNSET:
            self.user = self.account
        elif answer.user not in (UNSET, None, self.user):
            self.user = UNSET  # the session belongs to another user
        return False
