"""The options of an application's sessions, checked when they are made.

The options are express-session's under Python names. Where a default differs, the docstring says why.
"""

from __future__ import annotations

import re
import secrets as random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Literal, Self, TypeAlias, TypedDict

from .checks import OptionsError as OptionsError
from .checks import check_type, to_choice
from .choices import Choice, choice
from .store import LONGEST, Lifetime

MIN_SECRET_BYTES = 32


class Secure(Enum):
    """Whether the cookie carries `Secure`."""

    AUTO = "auto"
    """Over TLS, and then with the `__Host-` prefix; not over plain HTTP."""
    ON = "on"
    """Always. Over plain HTTP no session is created or renewed (`CookieNotSendable`), because no browser would send its
    cookie back, and no cookie is sent, because anyone on the network path could read it."""
    OFF = "off"
    """Never; for development. Anyone on the network path can take over the session."""


class SameSite(Enum):
    """Which requests from other sites carry the cookie."""

    LAX = "Lax"
    """Only links followed at the top level, not forms and scripts."""
    STRICT = "Strict"
    """None: a user who follows a link to the site arrives logged out."""
    NONE = "None"
    """All of them. The application alone must prevent CSRF. Needs `Secure`: plain HTTP is treated as with
    `Secure.ON`."""
    AUTO = "auto"
    """`NONE` where the cookie is `Secure`, else `LAX`: for sites that are embedded elsewhere in production."""


class TrustProxy(Enum):
    """The source of the information that a request came over TLS."""

    FRAMEWORK = "framework"
    """The WSGI environment's scheme, as ProxyFix or the server set it (express-session: unset)."""
    TRUST = "trust"
    """The first token of X-Forwarded-Proto; only behind a proxy that overwrites it (express-session: true)."""
    IGNORE = "ignore"
    """The connection itself; changes by ProxyFix are undone (express-session: false)."""
    TLS = "tls"
    """The configuration alone: every request came over TLS, to a proxy in front that does not say so."""


class Resave(Enum):
    """Whether a session that was not changed is written back at the end of a request."""

    NEVER = "never"
    """Only changes are sent; activity is recorded by a throttled touch. express-session resaves by default, with a
    deprecation warning, because some of its stores can't touch; all stores here can."""
    ALWAYS = "always"
    """Every request writes the read values back, as a compare-and-set, so that unlike in express-session a reader never
    overwrites a concurrent writer. One round trip per request; for stores whose expiry another program evaluates."""


class Unset(Enum):
    """Effect of `current_session.unset()` at the end of the request."""

    KEEP = "keep"
    """The session stays in the store as it was; this request's changes are dropped."""
    DESTROY = "destroy"
    """The session is deleted at the store and its cookie cleared."""


class SessionLimit(Enum):
    """Effect of a login by a user who has `max_sessions` sessions."""

    REFUSE = "refuse"
    """The login is refused with `TooManySessions`. No session ends, but a user who lost a device must first end its
    session elsewhere, or wait until it expires."""
    END_OLDEST = "end oldest"
    """The session with the oldest login ends. A login always works, and an attacker's session ends in its turn. Of
    concurrent logins the latest remain."""


class Caching(Enum):
    """Cache-Control of a response that used the session, where the application set none."""

    NO_STORE = "no-store"
    """No cache keeps it. The browser sends a new request for "back", too."""
    PRIVATE = "private"
    """The browser alone keeps it, and asks before it uses it again (`private, no-cache`): an ETag saves the body, and
    "back" shows the page as it was, after a logout, too."""


class Priority(Enum):
    """Which cookies a browser drops last when it has too many (a Chromium extension)."""

    LOW = "Low"
    MEDIUM = "Medium"
    HIGH = "High"


SecureValue: TypeAlias = Literal["auto", "on", "off"] | bool
SameSiteValue: TypeAlias = Literal["Lax", "Strict", "None", "auto", True]
PriorityValue: TypeAlias = Literal["Low", "Medium", "High"]


class CookieAttributes(TypedDict, total=False):
    """Options that `SessionOptions.cookie_for` may return for one request."""

    path: str
    domain: str | None
    secure: Secure | SecureValue
    http_only: bool
    same_site: SameSite | SameSiteValue
    max_age: int | None
    partitioned: bool
    priority: Priority | PriorityValue | None


def generate_id() -> str:
    """Return a new session id: 256 bits from the operating system, 43 characters of base64url."""
    return random.token_urlsafe(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOptions:
    """Options of the sessions. Times are in seconds.

    `secrets` sign the cookie: the first signs, all verify. To rotate, add a new one at the end on every node, then put
    it first on every node, then remove the old one once its cookies have expired. Each has at least 32 bytes. A single
    str or bytes is one secret. Not given: the application's `SECRET_KEY` and `SECRET_KEY_FALLBACKS`. `config.py` has
    the other options that are taken from the application's configuration.

    In place of the member of an enum its value is taken (`same_site="Lax"`), and True and False where express-session
    takes them: `secure`, `resave`, `proxy`, and True for the `same_site` that is strict.
    """

    secrets: str | bytes | Sequence[str | bytes] = field(default=(), repr=False)
    name: str = "session"
    """The cookie's name. Over TLS it gets the prefix `__Host-`, unless `domain` or `path` forbid that, or another
    application shares the sessions and expects exactly this name."""
    generate_id: Callable[[], str] = generate_id
    """Returns an id of 16 to 128 base64url characters. It must be unpredictable, since the id alone logs in."""
    idle_timeout: float = 30 * 60
    """A session ends when it was not used for this time (OWASP: 15 to 30 minutes). It slides in steps of a tenth."""
    absolute_timeout: float = 8 * 60 * 60
    """A session ends this time after it was created or renewed, used or not (OWASP: 4 to 8 hours; NIST AAL2: ≤ 24)."""
    permanent_lifetime: float = 31 * 24 * 60 * 60
    """A session with `session.permanent = True` ends when it was not used for this time, in place of both timeouts."""
    refresh: bool = True
    """False: a cookie with a lifetime is sent only when the session changes, and not while it is only used."""
    resave: Choice[Resave, Literal["never", "always"] | bool] = choice(Resave.NEVER)
    save_uninitialized: bool = False
    """True: every visitor gets a session and a cookie, even an empty one. False keeps bots and health checks from
    filling the store (express-session's default is true, deprecated)."""
    rolling: bool = False
    """True: every response sends the cookie again, so that its `max_age` counts from the last one. Each request then
    loads the session, used or not."""
    unset: Choice[Unset, Literal["keep", "destroy"]] = choice(Unset.KEEP)
    proxy: Choice[TrustProxy, Literal["framework", "trust", "ignore", "tls"] | bool] = choice(TrustProxy.FRAMEWORK)
    secure: Choice[Secure, SecureValue] = choice(Secure.AUTO)
    http_only: bool = True
    """True: scripts on the page can't read the cookie."""
    same_site: Choice[SameSite, SameSiteValue] = choice(SameSite.LAX)
    path: str = "/"
    domain: str | None = None
    """None: the cookie is sent only to the host that set it, which `__Host-` requires."""
    max_age: int | None = None
    """Seconds; None: the browser drops the cookie when it closes. The store enforces the timeouts either way."""
    partitioned: bool = False
    priority: Choice[Priority | None, PriorityValue] = choice(None)
    cookie_for: Callable[[Any], CookieAttributes] | None = None
    """Called once with each request: returns attributes of its cookie in place of those above, such as a `domain` by
    the host in the request. Later requests of a visitor must get equal attributes."""
    caching: Choice[Caching, Literal["no-store", "private"]] = choice(Caching.NO_STORE)
    """Cache-Control of a response that used the session, where the application set none: see `caching.py`."""
    max_bytes: int = 64 * 1024
    """The maximum size of one session; see `store.encoded_size`."""
    max_sessions: int | None = None
    """The maximum number of sessions of one user; None: no limit. Needs a store that lists the sessions of a user."""
    session_limit: Choice[SessionLimit, Literal["refuse", "end oldest"]] = choice(SessionLimit.END_OLDEST)
    anonymous_rate: float | None = None
    """The most anonymous sessions that clients at one address can start each second, in each process; five seconds'
    worth at once. None: any number. Addresses must be those of clients: behind a proxy ProxyFix has to be set up."""
    anonymous_share: float = 0.8
    """The part of the store's memory beyond which no anonymous session is started, so that logins always find some;
    1: no bound. Without effect where the store does not know its space: see `admission.py`."""
    remember_client: bool = False
    """True: a login stores the client's address and User-Agent in the session, for the list of a user's sessions. They
    are personal data."""

    flask_login: bool = False
    """True: the logins and logouts of Flask-Login are those of the session: see `flask_login.py`."""

    lifetime: Lifetime = field(init=False, repr=False, compare=False)
    """Both timeouts, as stores take them."""
    secret_bytes: tuple[bytes, ...] = field(init=False, repr=False, compare=False)
    """The secrets as keys of the HMAC."""
    given: frozenset[str] = field(init=False, repr=False, compare=False)
    """The names of the options that were given, which win over the application's configuration."""

    def __new__(cls, **options: Any) -> Self:
        self = object.__new__(cls)
        object.__setattr__(self, "given", frozenset(options))
        return self

    def __post_init__(self) -> None:
        self._check_types()
        object.__setattr__(self, "lifetime", Lifetime(idle=self.idle_timeout, absolute=self.absolute_timeout))
        object.__setattr__(self, "secret_bytes", to_secrets("secrets", self.secrets))
        if not self.secret_bytes and "secrets" in self.given:
            raise OptionsError("secrets must have at least one secret of 32 bytes or more")
        for position, secret in enumerate(self.secret_bytes, start=1):
            if len(secret) < MIN_SECRET_BYTES:
                raise OptionsError(
                    f"secret {position} must have at least {MIN_SECRET_BYTES} bytes, not {len(secret)}:"
                    " use for example the output of `openssl rand -hex 32`"
                )
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}", self.name):
            raise OptionsError(f"name must be 1 to 64 letters, digits, '-', '_' or '.', not {self.name!r}")
        if self.name.lower().startswith(("__host-", "__secure-")):
            raise OptionsError(f"name must not have a prefix, as in {self.name!r}: it is added over TLS")
        if not 0 < self.idle_timeout <= self.absolute_timeout <= LONGEST:
            raise OptionsError(
                "idle_timeout and absolute_timeout must be above 0, idle at most absolute, and absolute at most 100"
                f" years, not {self.idle_timeout:g} s and {self.absolute_timeout:g} s"
            )
        if not 0 < self.permanent_lifetime <= LONGEST:
            raise OptionsError(
                f"permanent_lifetime must be above 0 s and at most 100 years, not {self.permanent_lifetime:g} s"
            )
        if not re.fullmatch(r"/[!-:<-~]*", self.path):
            raise OptionsError(
                f"path must begin with '/' and have no space, ';' or control character, not {self.path!r}"
            )
        if self.domain is not None and not re.fullmatch(r"\.?[A-Za-z0-9.-]+", self.domain):
            raise OptionsError(f"domain must be a host name, not {self.domain!r}")
        if self.max_age is not None and not 0 < self.max_age <= LONGEST:
            raise OptionsError(
                "max_age must be above 0 s and at most 100 years, or None for a cookie until the browser closes,"
                f" not {self.max_age}"
            )
        if self.same_site is SameSite.NONE and self.secure is Secure.OFF:
            raise OptionsError("same_site=None needs secure: browsers refuse the cookie otherwise")
        if self.partitioned and self.secure is Secure.OFF:
            raise OptionsError("partitioned needs secure: browsers refuse the cookie otherwise")
        if self.max_bytes < 1:
            raise OptionsError(f"max_bytes must be at least 1, not {self.max_bytes}")
        if self.max_sessions is not None and self.max_sessions < 1:
            raise OptionsError(f"max_sessions must be at least 1, or None for no limit, not {self.max_sessions}")
        if self.anonymous_rate is not None and not 0 < self.anonymous_rate <= 1e6:
            raise OptionsError(
                f"anonymous_rate must be above 0 and at most 1e6, or None for no limit, not {self.anonymous_rate:g}"
            )
        if not 0 < self.anonymous_share <= 1:
            raise OptionsError(f"anonymous_share must be above 0 and at most 1, not {self.anonymous_share:g}")

    def _check_types(self) -> None:
        for name, kind, also in _CHOICES:
            object.__setattr__(self, name, to_choice(name, getattr(self, name), kind, also))
        if self.anonymous_rate is not None:
            check_type("anonymous_rate", self.anonymous_rate, (int, float), "a number or None")
        if self.priority is not None:
            object.__setattr__(self, "priority", to_choice("priority", self.priority, Priority, {}))
        for name in _SWITCHES:
            check_type(name, getattr(self, name), bool, "True or False")
        for name in ("name", "path"):
            check_type(name, getattr(self, name), str, "a str")
        check_type("domain", self.domain, (str, type(None)), "a str or None")
        for name in ("idle_timeout", "absolute_timeout", "permanent_lifetime", "anonymous_share"):
            check_type(name, getattr(self, name), (int, float), "a number")
        check_type("max_bytes", self.max_bytes, int, "an int")
        for name in ("max_age", "max_sessions"):
            check_type(name, getattr(self, name), (int, type(None)), "an int or None")
        if not callable(self.generate_id):
            raise TypeError(f"generate_id must be a function, not {self.generate_id!r}")
        if self.cookie_for is not None and not callable(self.cookie_for):
            raise TypeError(f"cookie_for must be a function or None, not {self.cookie_for!r}")

    def for_request(self, request: Any) -> SessionOptions:
        """Return the options with the attributes that `cookie_for` returns for this request."""
        if self.cookie_for is None or not (own := self.cookie_for(request)):
            return self
        if unknown := own.keys() - CookieAttributes.__annotations__.keys():
            raise OptionsError(f"cookie_for returned unknown attributes of a cookie: {', '.join(sorted(unknown))}")
        return replace(self, **own)

    def on_demand(self) -> SessionOptions:
        """Return the options without those that act on every request: `rolling`, `resave`, `save_uninitialized`."""
        if not self.rolling and not self.save_uninitialized and self.resave is Resave.NEVER:
            return self
        return replace(self, rolling=False, save_uninitialized=False, resave=Resave.NEVER)

    def cookie_name(self, is_secure: bool) -> str:
        """Return the cookie's name over TLS (`is_secure`) or plain HTTP."""
        return f"__Host-{self.name}" if is_secure and self.path == "/" and self.domain is None else self.name

    def sent_same_site(self, is_secure: bool) -> SameSite:
        """Return the cookie's SameSite, which is never AUTO."""
        if self.same_site is SameSite.AUTO:
            return SameSite.NONE if is_secure else SameSite.LAX
        return self.same_site

    def sent_secure(self, is_secure: bool) -> bool:
        """Return whether the cookie carries Secure; True also where browsers would refuse it otherwise."""
        return is_secure or self.partitioned or self.sent_same_site(is_secure) is SameSite.NONE


_SWITCHES = ("save_uninitialized", "rolling", "refresh", "http_only", "partitioned", "remember_client", "flask_login")
_CHOICES: tuple[tuple[str, type[Enum], dict[Any, Any]], ...] = (
    ("secure", Secure, {True: Secure.ON, False: Secure.OFF}),
    ("same_site", SameSite, {True: SameSite.STRICT}),
    ("proxy", TrustProxy, {True: TrustProxy.TRUST, False: TrustProxy.IGNORE}),
    ("resave", Resave, {True: Resave.ALWAYS, False: Resave.NEVER}),
    ("unset", Unset, {}),
    ("session_limit", SessionLimit, {}),
    ("caching", Caching, {}),
)


def to_secrets(name: str, value: Any) -> tuple[bytes, ...]:
    """Return one secret or several as keys of the HMAC. Raises TypeError."""
    several = (value,) if isinstance(value, str | bytes) else value
    if not isinstance(several, Sequence) or not all(isinstance(each, str | bytes) for each in several):
        raise TypeError(f"{name} must be a str or bytes, or a tuple of them")  # without the value: it may be a secret
    return tuple(each.encode() if isinstance(each, str) else each for each in several)
