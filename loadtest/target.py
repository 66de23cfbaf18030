"""Systems under test: address, accounts and HTTP interface."""

import http.client
import ssl
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self
from urllib.parse import urlsplit

import msgspec

from deploy import Cluster, ClusterSpec
from loadtest.browser import Browser
from loadtest.claims.claim import Lacks
from loadtest.conversation import Conversation
from loadtest.described.adapter import DescribedAdapter
from loadtest.described.interface import http_interface
from loadtest.history import Action
from loadtest.operations import ADDRESS, Answer, Operation, Request, Response, is_address, last_node, printable
from nodes.sessions import Lifetime

_TIMEOUT = 10.0
_MOST_BYTES = 1_048_576
_SECRET = ("SECRET", "KEY", "PASSWORD", "URL")


class TargetError(Exception):
    """The target does not answer as expected; the message is one line with address and cause."""


class Target(Protocol):
    """A system under test. Entering it as a context manager starts it, or checks that it answers."""

    @property
    def url(self) -> str:
        """The address, without a path."""

    @property
    def users(self) -> Mapping[str, str]:
        """Accounts of the users: name -> password."""

    @property
    def session_cookie(self) -> str:
        """The name of the session's cookie."""

    @property
    def session_lifetime(self) -> Lifetime | None:
        """The timeouts of its sessions; None: unknown, so no session counts as expired."""

    @property
    def authority(self) -> Path | None:
        """The certificate of the authority for https; None: the authorities that the system trusts."""

    @property
    def insecure(self) -> bool:
        """Whether any certificate is accepted."""

    @property
    def adapter(self) -> DescribedAdapter:
        """Makes its requests and parses its answers."""

    @property
    def visitor_action(self) -> Action:
        """What a visitor who is not logged in can do at every node: write, where that is possible."""

    @property
    def lacks(self) -> Lacks:
        """What its answers do not show, so that nobody can find it, each with the reason."""

    @property
    def cluster(self) -> Cluster | None:
        """The cluster if faults can be applied, otherwise None."""

    @property
    def description(self) -> Mapping[str, Any]:
        """Description for records."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...


class ClusterTarget:
    """A cluster that runs while the target is entered."""

    insecure = False
    visitor_action = Action.VISIT

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.lacks: Lacks = {}
        self.adapter = http_interface()

    @property
    def url(self) -> str:
        return self.cluster.url

    @property
    def users(self) -> Mapping[str, str]:
        return self.cluster.users

    @property
    def session_cookie(self) -> str:
        return self.cluster.spec.session_cookie

    @property
    def session_lifetime(self) -> Lifetime:
        return self.cluster.spec.session_lifetime

    @property
    def authority(self) -> Path | None:
        return self.cluster.authority

    @property
    def description(self) -> Mapping[str, Any]:
        return describe(self.cluster.spec)

    def __enter__(self) -> Self:
        self.cluster.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.cluster.stop()


@dataclass(frozen=True, kw_only=True)
class RunningTarget:
    """A running application with the HTTP interface of docs/http-api.md."""

    url: str
    users: Mapping[str, str]
    session_cookie: str = "session"
    session_lifetime: Lifetime | None = None
    authority: Path | None = None
    insecure: bool = False
    adapter: DescribedAdapter = field(default_factory=http_interface)
    cluster: Cluster | None = None
    visitor_action: Action = Action.VISIT
    lacks: Lacks = field(default_factory=dict)
    description: Mapping[str, Any] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self.check()
        return self

    def __exit__(self, *error: object) -> None: ...

    def check(self) -> None:
        """Look, and write, as a new visitor before the load starts.

        Raises TargetError unless the answer is that of the HTTP interface, with a session in its cookie.
        """
        if not is_address(self.url):
            raise TargetError(f"target must be {ADDRESS}, not {self.url}")
        reply = self._ask(Operation(Action.LOOK))
        if reply.answer.error:
            what = f"{reply.request.method} {reply.request.path} answered {reply.status}"
            raise TargetError(f"{self.url} does not speak the HTTP interface: {what}; see docs/http-api.md")
        reply = self._ask(Operation(Action.VISIT))
        if not reply.answer.error and not reply.session:
            what = f"it set {', '.join(map(printable, reply.cookies)) or 'none'}; name the session's with --cookie"
            raise TargetError(f"the target set no cookie {self.session_cookie!r}: {what}")

    def _ask(self, operation: Operation) -> "Reply":
        with answering(self.url, "name its authority with --ca, or give --insecure"):
            return send(self, operation)


class Hop(NamedTuple):
    """One request and its answer; `cookies` are those that it sets: name -> "name=value"."""

    request: Request
    response: Response
    cookies: Mapping[str, str]


@dataclass(frozen=True)
class Reply:
    """The reply to one operation: that to its main request, and all requests that it took. `cookies` are those that all
    answers set: name -> "name=value"; `session` is the session's ("": none), `node` the node that answered ("":
    unknown)."""

    request: Request
    status: int
    answer: Answer
    cookies: Mapping[str, str]
    session: str
    node: str
    hops: tuple[Hop, ...]


def send(
    target: Target, operation: Operation, account: str = "", password: str = "", browser: Browser | None = None
) -> Reply:
    """Carry out an operation as a browser: without one, as a new one. Raises OSError and HTTPException."""
    browser = browser or make_browser(target)
    exchange = target.adapter.exchange(operation, account, password, browser.value)
    return converse(target, Conversation(exchange, browser, operation.action))


def make_browser(target: Target) -> Browser:
    """Return a browser without cookies."""
    return Browser("check", target.session_cookie, target.adapter.cookie_changes)


def converse(target: Target, talk: Conversation) -> Reply:
    """Send the requests of an operation, and of the look that follows. Raises OSError and HTTPException."""
    hops: list[Hop] = []
    with closing(_connect(target)) as connection:
        while (answer := talk.answer) is None:
            hops.append(_send_one(connection, talk))
        if (look := talk.look()) is not None:
            while (shown := look.answer) is None:
                hops.append(_send_one(connection, look))
            answer = replace(shown, outcome=answer.outcome)
    main = next(hop for hop in hops if hop.request is talk.main)
    cookies = {name: pair for hop in hops for name, pair in hop.cookies.items()}
    session = cookies.get(target.session_cookie) or cookies.get(f"__Host-{target.session_cookie}", "")
    node = last_node(main.response.header(target.adapter.node_header))
    return Reply(talk.main, main.response.status, answer, cookies, session, node, tuple(hops))


@contextmanager
def answering(url: str, certificate: str) -> Iterator[None]:
    """Raise TargetError in one line where a request to the target fails; `certificate` says how to have one trusted."""
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        raise TargetError(f"the certificate of {url} is not trusted: {error.verify_message}; {certificate}") from error
    except ssl.SSLError as error:
        how = "give an address with http:// if it serves no TLS"
        raise TargetError(f"{url} does not answer: TLS failed ({error.reason}); {how}") from error
    except (OSError, http.client.HTTPException) as error:
        cause = printable(getattr(error, "strerror", None) or str(error).strip() or type(error).__name__)
        raise TargetError(f"{url} does not answer: {cause}; start it, or correct the address") from error


def _send_one(connection: http.client.HTTPConnection, talk: Conversation) -> Hop:
    """Send the next request of an operation."""
    request = talk.request
    headers = {"Accept": "application/json", **(talk.headers or {})}
    body: str | bytes | None = request.data
    if body is None and request.body is not None:
        body = msgspec.json.encode(request.body)
        headers["Content-Type"] = "application/json"
    connection.request(request.method, request.path, body, headers)
    answer = connection.getresponse()
    content, lines = answer.read(_MOST_BYTES), answer.headers
    if answer.read(1):  # the rest of a page that is too long: the connection can't be used again
        connection.close()
    response = Response(answer.status, content, lambda name: lines.get_all(name, []))
    talk.take(response)
    pairs = [line.partition(";")[0].strip() for line in response.header("Set-Cookie")]
    return Hop(request, response, {pair.partition("=")[0]: pair for pair in pairs})


def log_in(target: Target) -> str:
    """Log in as the last account, which the users get last. Return the session's cookie alone, since a sticky one would
    pin to a node. Raises TargetError.
    """
    *_, (account, password) = target.users.items()
    try:
        reply = send(target, Operation(Action.LOGIN), account, password)
    except (OSError, http.client.HTTPException) as error:
        raise TargetError(f"cannot log in at {target.url} as {account}: {type(error).__name__}") from error
    if reply.answer.error or not reply.session:
        raise TargetError(f"cannot log in at {target.url} as {account}: status {reply.status}")
    return reply.session


def _connect(target: Target) -> http.client.HTTPConnection:
    """Return a connection to a target, over TLS where its URL says so."""
    parts = urlsplit(target.url)
    if parts.scheme == "http":
        return http.client.HTTPConnection(parts.netloc, timeout=_TIMEOUT)
    try:
        context = ssl.create_default_context(cafile=target.authority)
    except ssl.SSLError as error:
        raise TargetError(f"{target.authority} holds no certificate in PEM") from error
    if target.insecure:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return http.client.HTTPSConnection(parts.netloc, timeout=_TIMEOUT, context=context)


def describe(spec: ClusterSpec) -> dict[str, Any]:
    """Describe a cluster's configuration in a record, without the secrets in it."""
    hidden = {name: "***" for name in spec.node_settings if any(word in name for word in _SECRET)}
    return {
        "node": str(spec.node),
        "nodes": spec.nodes,
        "workers": spec.workers,
        "store": str(spec.store),
        "database": str(spec.database),
        "balance": str(spec.balance),
        "store_proxy": spec.store_proxy,
        "store_settings": msgspec.to_builtins(spec.store_settings, enc_hook=str),
        "node_settings": {**spec.node_settings, **hidden},
        "proxy": msgspec.to_builtins(dict(spec.proxy), enc_hook=str),
    }
