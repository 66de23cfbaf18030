"""The browser that the console holds for a visitor of its page: real requests to the shop, shown as they were.

A browser sends cookies to every port of a host, so the visitor's own could read the shop's session only by sending its
cookie to the console. This one has a cookie jar of its own instead, and the session's id stays in it: `mask` takes it
out of all that the page gets, but for what `PageBrowser.reveal` returns.
"""

import http.client
import http.cookiejar
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Mapping
from enum import StrEnum
from urllib.request import Request

import msgspec

from deploy import Cluster
from loadtest.history import now
from proxy import ProxySettings

MOST_VISITORS = 32
MOST_EXCHANGES = 12
TIMEOUT = 5.0
ITEM = "apple"
HIDDEN = "••••••••"
_MOST_BYTES = 4096


class Step(StrEnum):
    """A step that the visitor can let the browser take."""

    LOOK = "look"
    LOGIN = "login"
    CART = "cart"
    ASK = "ask"
    """As LOOK, but at one node, past the proxy."""
    FORGE = "forge"
    """As LOOK, with a cookie whose signature is wrong. The jar stays as it is."""
    LOGOUT = "logout"
    REPLAY = "replay"
    """As LOOK, with the cookie from before the logout. The jar stays as it is."""


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """One request and its answer, with secrets hidden. `via` is "proxy", or the node that was asked past it.

    `error` is why there was no answer.
    """

    step: Step
    at: float
    via: str
    method: str
    path: str
    request_headers: tuple[tuple[str, str], ...]
    request_body: str = ""
    status: int = 0
    reason: str = ""
    response_headers: tuple[tuple[str, str], ...] = ()
    response_body: str = ""
    milliseconds: float = 0.0
    error: str = ""


class PageBrowser:
    """Sends one request at a time, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jar = http.cookiejar.CookieJar()
        self._old = ""
        """The session's cookie ("name=value") of before the last logout."""
        self._exchanges: deque[Exchange] = deque(maxlen=MOST_EXCHANGES)

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """The newest ones, the oldest first."""
        return tuple(self._exchanges)

    @property
    def old_session(self) -> str:
        """The value of the session's cookie before the last logout; empty before the first one."""
        return self._old.partition("=")[2]

    def session_cookie(self, name: str) -> str:
        """Return the value of the session's cookie; empty without one."""
        return next((one.value or "" for one in self._jar if one.name in (name, f"__Host-{name}")), "")

    def cookie_header(self, cluster: Cluster) -> str:
        """Return the Cookie header of the next request, with secrets hidden."""
        return mask(_cookie_of(self._request(cluster)), cluster.spec.session_cookie)

    def reveal(self, cluster: Cluster) -> str:
        """Return the Cookie header of the next request with the session's id; other secrets stay hidden."""
        return mask(_cookie_of(self._request(cluster)), cluster.spec.session_cookie, show_session=True)

    def carry_out(self, step: Step, cluster: Cluster, node: tuple[str, str] | None = None) -> Exchange:
        """Carry out a step, and return what was sent and answered. `node` is name and address of one to ask.

        A step that fails is an exchange with an error. Raises ClusterError where the cluster does not run.
        """
        with self._lock:
            exchange = self._carry_out(step, cluster, node)
            self._exchanges.append(exchange)
            return exchange

    def _carry_out(self, step: Step, cluster: Cluster, node: tuple[str, str] | None) -> Exchange:
        name = cluster.spec.session_cookie
        request = self._request(cluster)
        cookie = _cookie_of(request)
        if step is Step.FORGE:
            cookie = f"{name}={_forge(self.session_cookie(name))}"
        elif step is Step.REPLAY:
            cookie = self._old
        method, path, body = _make(step, cluster.users)
        content = None if body is None else msgspec.json.encode(body)
        via, host = node or ("proxy", request.host)
        headers = [("Host", host), ("Accept", "application/json"), ("Accept-Encoding", "identity")]
        headers += [("Cookie", cookie)] if cookie else []
        if content is not None:
            headers += [("Content-Type", "application/json"), ("Content-Length", str(len(content)))]
        shown = Exchange(
            step=step,
            at=round(now(), 3),
            via=via,
            method=method,
            path=path,
            request_headers=tuple((key, mask(value, name)) for key, value in headers),
            request_body="" if body is None else msgspec.json.encode(_without_password(body)).decode(),
        )
        connection = http.client.HTTPConnection(host, timeout=TIMEOUT)
        begin = time.monotonic()
        try:
            connection.request(method, path, content, dict(headers))
            response = connection.getresponse()
            text = response.read(_MOST_BYTES).decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            return msgspec.structs.replace(shown, error=str(error) or type(error).__name__)
        finally:
            connection.close()
        if step not in {Step.FORGE, Step.REPLAY}:
            self._keep(step, request, response, name)
        return msgspec.structs.replace(
            shown,
            status=response.status,
            reason=response.reason,
            response_headers=tuple((key, _mask_header(key, value, name)) for key, value in response.getheaders()),
            response_body=text,
            milliseconds=round((time.monotonic() - begin) * 1000, 1),
        )

    def _keep(self, step: Step, request: Request, response: http.client.HTTPResponse, name: str) -> None:
        before = self.session_cookie(name)
        self._jar.extract_cookies(response, request)
        if step is Step.LOGOUT and before and before != self.session_cookie(name):
            self._old = f"{name}={before}"

    def _request(self, cluster: Cluster) -> Request:
        """Return a request to the shop with the jar's cookies: browsers do not tell ports of a host apart."""
        request = Request(cluster.url)  # noqa: S310 - the address is the cluster's
        self._jar.add_cookie_header(request)
        return request


class Visitors:
    """The browsers of the page's visitors, by a secret that each visitor's own browser has in a cookie."""

    def __init__(self) -> None:
        self._browsers: OrderedDict[str, PageBrowser] = OrderedDict()

    def find(self, secret: str) -> tuple[str, PageBrowser]:
        """Return the browser of this visitor with its secret, a new one for an unknown visitor."""
        if secret not in self._browsers:
            secret = secrets.token_urlsafe(24)
            self._browsers[secret] = PageBrowser()
            if len(self._browsers) > MOST_VISITORS:
                self._browsers.popitem(last=False)
        self._browsers.move_to_end(secret)
        return secret, self._browsers[secret]


def _cookie_of(request: Request) -> str:
    return request.get_header("Cookie", "") or ""


def mask(cookies: str, session: str, *, show_session: bool = False) -> str:
    """Return a Cookie header, or the first part of a Set-Cookie one, without the session's id and other secrets.

    The signature stays: without the id it opens nothing. So does the proxy's cookie, which has the name of a node.
    """
    return "; ".join(_mask_pair(pair, session, show_session) for pair in cookies.split("; "))


def _mask_pair(pair: str, session: str, show_session: bool = False) -> str:
    name, _, value = pair.partition("=")
    if not value or name == ProxySettings.sticky_cookie:
        return pair
    if name in (session, f"__Host-{session}"):
        if show_session:
            return pair
        _, dot, signature = value.rpartition(".")
        return f"{name}={HIDDEN}{dot}{signature if dot else ''}"
    return f"{name}={HIDDEN}"


def _mask_header(name: str, value: str, session: str) -> str:
    if name.lower() != "set-cookie":
        return value
    pair, semicolon, attributes = value.partition(";")
    return f"{_mask_pair(pair, session)}{semicolon}{attributes}"


def _forge(value: str) -> str:
    """Return the cookie of somebody who knows no secret: another id under the signature of this one."""
    first = "A" if not value.startswith("A") else "B"
    return f"{first}{value[1:]}" if value else f"{'A' * 43}.{'A' * 43}"


def _make(step: Step, users: Mapping[str, str]) -> tuple[str, str, dict[str, str | int] | None]:
    """Return method, path and JSON body of a step's request."""
    match step:
        case Step.LOGIN:
            user, password = next(iter(users.items()))
            return "POST", "/login", {"user": user, "password": password}
        case Step.CART:
            return "POST", "/cart", {"item": ITEM, "quantity": 1}
        case Step.LOGOUT:
            return "POST", "/logout", {}
    return "GET", "/me", None


def _without_password(body: Mapping[str, str | int]) -> Mapping[str, str | int]:
    return {name: HIDDEN if name == "password" else value for name, value in body.items()}
