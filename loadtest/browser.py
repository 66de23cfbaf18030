"""The cookies of one virtual browser, and which session they are of.

Not an `http.cookiejar`: several requests of one browser may be in flight, and each has to know what it was sent with.
One browser talks to one host, so of a cookie only its name, its value and its end matter here.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from msgspec import UNSET, UnsetType


class Sent(NamedTuple):
    """What a request takes along: the Cookie header, the session's cookie in it, and the name of that session."""

    header: str
    cookie: str | None
    session: str


@dataclass
class Browser:
    """Cookies by name. `cookie` is the name of the session's, which may also come with the prefix __Host-.

    The browser stays with the cookie of its last login until `fresh` is called, even after a logout: only so can it
    see that the session is really gone. A write that finds no session brings the cookie of a new one, which says
    enough and is not taken over.
    """

    who: str
    cookie: str = "session"
    sessions: int = 1
    brought: list[str] = field(default_factory=list)
    _cookies: dict[str, str] = field(default_factory=dict)
    _session: tuple[str, str] | None = None

    @property
    def session(self) -> str:
        return f"{self.who}#{self.sessions}"

    def fresh(self) -> None:
        """Forget the session; the next one has another name. Other cookies, such as the proxy's, stay."""
        self.sessions += 1
        self._session = None
        self.brought = []

    def sending(self, other: str | None = None) -> Sent:
        """What the next request takes along; `other` instead of the session's cookie: one of those `brought`."""
        pairs = list(self._cookies.items())
        value = None
        if self._session is not None:
            name, value = self._session
            value = other or value
            pairs.append((name, value))
        return Sent("; ".join(f"{name}={value}" for name, value in pairs), value, self.session)

    def receive(self, set_cookies: Iterable[str], sent: Sent, *, login: bool) -> bool | UnsetType:
        """Take over what an answer sets. Returns whether it replaces the session's cookie; UNSET if none was sent."""
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
        return UNSET if sent.cookie is None else replaced
