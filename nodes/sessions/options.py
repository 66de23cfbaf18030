"""What an application chooses for its sessions, checked when it starts.

The options are express-session's under Python names. Where a default differs, the docstring says why.
"""

from __future__ import annotations

import re
import secrets as random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, TypedDict

from .store import LONGEST, Lifetime

MIN_SECRET_BYTES = 32


class OptionsError(ValueError):
    """An option that can't be meant; raised when the options are made."""


class Secure(Enum):
    """Whether the cookie carries `Secure`."""

    AUTO = "auto"
    """As the request came: over TLS yes, and then with the `__Host-` prefix; over plain HTTP no."""
    ON = "on"
    """Always. Over plain HTTP no session is created or renewed (`CookieNotSendable`), because no browser would send its
    cookie back, and no cookie is sent, because anyone on the network path could read it."""
    OFF = "off"
    """Never; for development. Anyone on the network path can take the session over."""


class SameSite(Enum):
    """Which requests from other sites carry the cookie."""

    LAX = "Lax"
    """Only links followed at the top level; forms and scripts elsewhere come as strangers."""
    STRICT = "Strict"
    """None at all; who follows a link to the site arrives logged out."""
    NONE = "None"
    """All of them; leaves the whole defence against CSRF to the application. Needs `Secure`: over plain HTTP it is as
    with `Secure.ON`."""
    AUTO = "auto"
    """None where the cookie is `Secure`, Lax where not: for sites that are embedded elsewhere in production."""


class Proxy(Enum):
    """Who says whether the request came over TLS."""

    FRAMEWORK = "framework"
    """The WSGI environment's scheme, as ProxyFix or the server set it (express-session: unset)."""
    TRUST = "trust"
    """The first token of X-Forwarded-Proto; only behind a proxy that overwrites it (express-session: true)."""
    IGNORE = "ignore"
    """The connection itself; whatever ProxyFix made of it is undone (express-session: false)."""


class Resave(Enum):
    """Whether a session that was not changed is written back at the end of a request."""

    NEVER = "never"
    """Only changes are sent; activity is recorded by a throttled touch. express-session's default is to resave, with a
    deprecation warning, because some of its stores can't touch; all of ours can."""
    ALWAYS = "always"
    """Every request writes back what it read, as a compare-and-set: unlike express-session's, a reader then never
    overwrites a concurrent writer. Costs a round trip per request; for stores whose expiry others evaluate."""


class Unset(Enum):
    """What `session.unset()` does at the end of the request."""

    KEEP = "keep"
    """The session stays in the store as it was; this request's changes are dropped."""
    DESTROY = "destroy"
    """The session is ended at the store and its cookie cleared."""


class SessionLimit(Enum):
    """What happens when a user who has `max_sessions` sessions logs in once more."""

    REFUSE = "refuse"
    """The login is refused with `TooManySessions`: nobody is thrown out, but who lost a device has to end its session
    elsewhere first, or to wait for it to expire."""
    END_OLDEST = "end oldest"
    """The session with the oldest login ends: a login always works, and a thief's session ends in its turn. Of logins
    at the same time the latest remain."""


class Priority(Enum):
    """Which cookies a browser drops last when it has too many (a Chromium extension)."""

    LOW = "Low"
    MEDIUM = "Medium"
    HIGH = "High"


class CookieAttributes(TypedDict, total=False):
    """What `SessionOptions.cookie_for` may answer: some of the options of this name, for one request."""

    path: str
    domain: str | None
    secure: Secure
    http_only: bool
    same_site: SameSite
    max_age: int | None
    partitioned: bool
    priority: Priority | None


def generate_id() -> str:
    """A new session id: 256 bits from the operating system, 43 characters of base64url."""
    return random.token_urlsafe(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOptions:
    """How sessions behave. Times are in seconds.

    `secrets` sign the cookie: the first signs, all verify. A new one is added at the end on every node, then put first
    on every node, and the old one dropped once its cookies have expired. Each has at least 32 bytes.
    """

    secrets: tuple[str, ...] = field(repr=False)
    name: str = "session"
    """The cookie's name. Over TLS `__Host-` stands before it, unless `domain` or `path` forbid the prefix, or another
    application shares the sessions, which looks for this very name."""
    generate_id: Callable[[], str] = generate_id
    """Makes an id of 16 to 128 base64url characters; it must be unpredictable, since who knows it is logged in."""
    idle_timeout: float = 30 * 60
    """A session ends when it was not used for so long (OWASP: 15 to 30 minutes). It slides in steps of a tenth."""
    absolute_timeout: float = 8 * 60 * 60
    """A session ends so long after it was made or renewed, however busy (OWASP: 4 to 8 hours; NIST AAL2: ≤ 24)."""
    resave: Resave = Resave.NEVER
    save_uninitialized: bool = False
    """True: every visitor gets a session and a cookie, even with nothing in it. False keeps bots and health checks from
    filling the store (express-session's default is true, deprecated)."""
    rolling: bool = False
    """True: the cookie is sent again with every response, so that its `max_age` counts from the last one. Each request
    then loads the session, used or not."""
    unset: Unset = Unset.KEEP
    proxy: Proxy = Proxy.FRAMEWORK
    secure: Secure = Secure.AUTO
    http_only: bool = True
    """True: scripts on the page can't read the cookie. There is no good reason for False."""
    same_site: SameSite = SameSite.LAX
    path: str = "/"
    domain: str | None = None
    """None: the cookie goes to the host that set it and to no other, which `__Host-` demands."""
    max_age: int | None = None
    """Seconds; None: the browser drops the cookie when it closes. The store enforces the timeouts either way."""
    partitioned: bool = False
    priority: Priority | None = None
    cookie_for: Callable[[Any], CookieAttributes] | None = None
    """Called with each request that has to do with its session: attributes of this request's cookie in place of those
    above, such as a `domain` by the host that was asked. It must answer the same for who comes back."""
    max_bytes: int = 64 * 1024
    """The most that one session may hold; see `store.size_of`."""
    max_sessions: int | None = None
    """The most sessions that one user may have; None: any number. Needs a store that lists the sessions of a user."""
    session_limit: SessionLimit = SessionLimit.END_OLDEST
    remember_client: bool = False
    """True: a login keeps the client's address and User-Agent in the session, for the list of a user's sessions. False
    because they are personal data."""

    lifetime: Lifetime = field(init=False, repr=False, compare=False)
    """Both timeouts, as stores take them."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "lifetime", Lifetime(idle=self.idle_timeout, absolute=self.absolute_timeout))
        if not self.secrets:
            raise OptionsError("secrets is empty: give at least one secret of 32 bytes or more")
        for position, secret in enumerate(self.secrets, start=1):
            if len(secret.encode()) < MIN_SECRET_BYTES:
                raise OptionsError(
                    f"secret {position} has {len(secret.encode())} bytes: use at least {MIN_SECRET_BYTES},"
                    " for example the output of `openssl rand -hex 32`"
                )
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}", self.name):
            raise OptionsError(f"name {self.name!r} is not a cookie name: use 1 to 64 letters, digits, '-', '_' or '.'")
        if self.name.lower().startswith(("__host-", "__secure-")):
            raise OptionsError(f"name {self.name!r}: leave the prefix out; it is added where the connection is TLS")
        if not 0 < self.idle_timeout <= self.absolute_timeout <= LONGEST:
            raise OptionsError(
                f"idle_timeout {self.idle_timeout:g} s and absolute_timeout {self.absolute_timeout:g} s:"
                " both must be above 0, idle at most absolute, and that at most a hundred years"
            )
        if not re.fullmatch(r"/[!-:<-~]*", self.path):
            raise OptionsError(f"path {self.path!r} must begin with '/' and hold no space, ';' or control character")
        if self.domain is not None and not re.fullmatch(r"\.?[A-Za-z0-9.-]+", self.domain):
            raise OptionsError(f"domain {self.domain!r} is not a host name")
        if self.max_age is not None and not 0 < self.max_age <= LONGEST:
            raise OptionsError(
                f"max_age {self.max_age} must be above 0 and at most a hundred years,"
                " or None for a cookie of the browser's session"
            )
        if self.same_site is SameSite.NONE and self.secure is Secure.OFF:
            raise OptionsError("same_site=None needs secure: browsers refuse the cookie otherwise")
        if self.partitioned and self.secure is Secure.OFF:
            raise OptionsError("partitioned needs secure: browsers refuse the cookie otherwise")
        if self.max_bytes < 1:
            raise OptionsError(f"max_bytes {self.max_bytes} must be at least 1")
        if self.max_sessions is not None and self.max_sessions < 1:
            raise OptionsError(f"max_sessions {self.max_sessions} must be at least 1, or None for any number")

    def for_request(self, request: Any) -> SessionOptions:
        """The options with the attributes that `cookie_for` gives this request."""
        own = self.cookie_for(request) if self.cookie_for is not None else None
        if not own:
            return self
        if unknown := own.keys() - CookieAttributes.__annotations__.keys():
            raise OptionsError(f"cookie_for: {', '.join(sorted(unknown))} is no attribute of a cookie")
        return replace(self, **own)

    @property
    def secret_bytes(self) -> tuple[bytes, ...]:
        """The secrets as keys of the HMAC."""
        return tuple(secret.encode() for secret in self.secrets)

    def cookie_name(self, is_secure: bool) -> str:
        """The name under which the cookie travels on a connection with or without TLS."""
        return f"__Host-{self.name}" if is_secure and self.path == "/" and self.domain is None else self.name
