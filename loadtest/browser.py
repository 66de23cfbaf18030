"""The cookies of one virtual user, and the account that it expects to be logged in. Pure: no network."""

import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from msgspec import UNSET, UnsetType

from loadtest.history import RENEWALS, Action, OpOutcome
from loadtest.operations import Answer

MOST_NUMBERED = 100
"""Ids of sessions whose numbers a browser with tabs remembers."""


def has_attribute(line: str, name: str) -> bool:
    """Return whether a Set-Cookie line has an attribute."""
    return name in _read_attributes(line.partition(";")[2])


def _read_attributes(text: str) -> dict[str, str]:
    """Return the attributes of a Set-Cookie line, by their names in lower case; of several the last one counts."""
    pairs = (one.partition("=") for one in text.split(";"))
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _deletes(attributes: str, now: float) -> bool:
    """Return whether the attributes of a cookie say that it ends at once (RFC 6265, 5.3)."""
    lower = attributes.lower()
    if "max-age" not in lower and "expires" not in lower:
        return False
    given = _read_attributes(attributes)
    if re.fullmatch(r"-?[0-9]+", age := given.get("max-age", "")):
        return age.startswith("-") or not age.strip("0")
    with suppress(ValueError, TypeError, OverflowError):  # not a date, which browsers ignore
        return parsedate_to_datetime(given.get("expires", "")).timestamp() <= now
    return False


class Sent(NamedTuple):
    """A request: its Cookie header, the session's cookie in it, the name of that session, and `Op.held`."""

    header: str
    cookie: str | None
    session: str
    held: int = 0


class Received(NamedTuple):
    """`Op.replaced` and `Op.brought` of an answer."""

    replaced: bool | UnsetType = UNSET
    brought: int = 0

    def then(self, other: "Received") -> "Received":
        """Return what this answer and a later one of the same operation did."""
        replaced = self.replaced if self.replaced is UNSET else self.replaced or other.replaced is True
        return Received(replaced, other.brought or self.brought)


@dataclass
class Browser:
    """Cookies by name. `cookie` is the name of the session's, which may also come with the prefix __Host-.

    Several requests may be in flight, and each must know its own cookies, so this is not an `http.cookiejar`. One
    browser talks to one host, so only the name, the value and the end of a cookie matter.

    The browser keeps the cookie of its last login until `fresh` is called, even after a logout: only so can it see
    that the session has ended. A write without a session brings the cookie of a new one, which is not used.

    With `cookie_changes` every answer before the logout may bring another value of the cookie, of the same session.
    """

    who: str
    cookie: str = "session"
    cookie_changes: bool = False
    sessions: int = 1
    brought: list[str] = field(default_factory=list)
    clock: Callable[[], float] = time.time
    _cookies: dict[str, str] = field(default_factory=dict)
    _session: tuple[str, str] | None = None
    _logged_out: bool = False

    @property
    def session(self) -> str:
        """The name of its session in the history."""
        return f"{self.who}#{self.sessions}"

    def fresh(self) -> None:
        """Forget the session; the next one has another name. Other cookies, such as the proxy's, stay."""
        self.sessions += 1
        self._session = None
        self._logged_out = False
        self.brought = []

    def value(self, name: str) -> str:
        """Return the value of a cookie other than the session's; "" if there is none."""
        return self._cookies.get(name, "")

    def sending(self, other: str | None = None) -> Sent:
        """Return the cookies of the next request. `other`, one of those `brought`, replaces the session's cookie."""
        value = self._session[1] if self._session is not None else None
        value = other or value if value is not None else None
        return Sent(self._header(value), value, self.session)

    def _header(self, value: str | None) -> str:
        """Return the Cookie header, with this value of the session's cookie."""
        pairs = list(self._cookies.items())
        if self._session is not None and value is not None:
            pairs.append((self._session[0], value))
        return "; ".join(f"{name}={value}" for name, value in pairs)

    def receive(self, set_cookies: Iterable[str], sent: Sent, action: Action) -> Received:
        """Store the cookies that an answer sets."""
        replaced = False
        self._logged_out |= action is Action.LOGOUT
        for name, value in self._store_others(set_cookies):
            if value and value != sent.cookie:
                replaced = not self.cookie_changes
                keep = action in RENEWALS or self._session is None or (self.cookie_changes and not self._logged_out)
                if sent.session == self.session and keep:
                    self._session = (name, value)
                else:
                    self.brought.append(value)
        if self._session is None and sent.session == self.session:
            self.sessions += 1  # a session without a cookie ends with its only answer
        return Received(UNSET if sent.cookie is None else replaced)

    def _store_others(self, set_cookies: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Store all cookies but that of the session, and yield its name and value; an empty one ends it."""
        for line in set_cookies:
            pair, _, attributes = line.partition(";")
            name, _, value = pair.strip().partition("=")
            if _deletes(attributes, self.clock()):
                value = ""
            if name in (self.cookie, f"__Host-{self.cookie}"):
                yield name, value
                continue
            self._cookies.pop(name, None)
            if value:
                self._cookies[name] = value

    def knows(self, sent: Sent) -> bool:
        """Return whether the session of an answered request has a cookie."""
        return sent.cookie is not None or sent.session == self.session


@dataclass
class TabbedBrowser(Browser):
    """Stores each cookie that comes, in the order of the answers, as browsers do. Its tabs share them.

    Its user sees one session until a logout, whichever cookies come, so that session keeps its name in the history.
    """

    _name: str | None = None  # of the session; None: none has begun
    _numbers: dict[str, int] = field(default_factory=dict)  # by value of the session's cookie
    _count: int = 0

    def fresh(self) -> None:
        """Forget the session; the next one has another name."""
        super().fresh()
        self._name = None

    def sending(self, other: str | None = None) -> Sent:
        """Return the cookies of the next request. Without a session each request may begin one of its own."""
        assert other is None, "it has only one"
        if self._name is None:
            self.sessions += 1
            return Sent(self._header(None), None, self.session)
        value = self._session[1] if self._session is not None else None
        return Sent(self._header(value), value, self._name, self._numbers.get(value or "", 0))

    def receive(self, set_cookies: Iterable[str], sent: Sent, action: Action) -> Received:
        """Store the cookies that an answer sets."""
        begun = sent.session == self._name or sent.cookie is not None
        brought = 0
        for name, value in self._store_others(set_cookies):
            if value:
                self._session, self._name = (name, value), sent.session
                if self.cookie_changes:
                    continue
                brought = self._number(value) if value != sent.cookie else 0
            elif action is Action.LOGOUT:
                self.fresh()
            else:
                self._session = None
        return Received(brought != 0 if begun else UNSET, brought)

    def knows(self, sent: Sent) -> bool:
        """Return whether the session of an answered request has a cookie, or has had one."""
        return sent.cookie is not None or sent.session == self._name

    def _number(self, value: str) -> int:
        if value not in self._numbers:
            self._count += 1
            self._numbers[value] = self._count
            if len(self._numbers) > MOST_NUMBERED:
                del self._numbers[next(iter(self._numbers))]
        return self._numbers[value]


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
