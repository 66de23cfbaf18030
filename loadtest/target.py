"""Systems under test: address, accounts and HTTP interface."""

import http.client
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self
from urllib.parse import urlsplit

import msgspec

from deploy import Cluster, ClusterSpec
from loadtest.history import Action
from loadtest.http import ADDRESS, Adapter, HttpInterface, Operation, is_address

_TIMEOUT = 10.0


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
    def authority(self) -> Path | None:
        """The certificate of the authority for https; None: the authorities that the system trusts."""

    @property
    def insecure(self) -> bool:
        """Whether any certificate is accepted."""

    @property
    def adapter(self) -> Adapter:
        """Makes its requests and parses its answers."""

    @property
    def cluster(self) -> Cluster | None:
        """The cluster if faults can be applied, otherwise None."""

    @property
    def description(self) -> Mapping[str, Any]:
        """Description for records."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class ClusterTarget:
    """A cluster that runs while the target is entered."""

    insecure = False

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.adapter: Adapter = HttpInterface()

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
    def authority(self) -> Path | None:
        return self.cluster.authority

    @property
    def description(self) -> Mapping[str, Any]:
        return describe(self.cluster.spec)

    def __enter__(self) -> Self:
        self.cluster.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cluster.stop()


@dataclass(frozen=True, kw_only=True)
class RunningTarget:
    """A running application with the HTTP interface of docs/http-api.md."""

    url: str
    users: Mapping[str, str]
    session_cookie: str = "session"
    authority: Path | None = None
    insecure: bool = False
    adapter: Adapter = field(default_factory=HttpInterface)
    cluster: Cluster | None = None
    description: Mapping[str, Any] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self.check()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def check(self) -> None:
        """Send GET /me before the load starts. Raises TargetError unless the answer is that of the HTTP interface."""
        if not is_address(self.url):
            raise TargetError(f"target must be {ADDRESS}, not {self.url}")
        try:
            status, _, body = _exchange(connect(self), "GET", "/me")
        except ssl.SSLCertVerificationError as error:
            how = "name its authority with --ca, or give --insecure"
            raise TargetError(f"the certificate of {self.url} is not trusted: {error.verify_message}; {how}") from error
        except (OSError, http.client.HTTPException) as error:
            raise TargetError(f"{self.url} does not answer: {error or type(error).__name__}") from error
        if status != http.client.OK or not _has_user(body):
            raise TargetError(
                f"{self.url} does not speak the HTTP interface: GET /me answered {status}; see docs/http-api.md"
            )


def visit(url: str) -> tuple[int, str]:
    """Send the first write of a new visitor. Return the status, and the node that answered ("": none).

    Raises OSError and HTTPException.
    """
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=_TIMEOUT)
    status, headers, _ = _exchange(connection, "POST", "/visits", {})
    return status, headers.get("X-Served-By", "")


def log_in(target: Target) -> str:
    """Log in as the first account. Return the session's cookie alone, so that no sticky cookie pins to a node.

    Raises TargetError.
    """
    account, password = next(iter(target.users.items()))
    request = target.adapter.request(Operation(Action.LOGIN), account, password)
    try:
        status, headers, _ = _exchange(connect(target), request.method, request.path, request.body)
    except (OSError, http.client.HTTPException) as error:
        raise TargetError(f"cannot log in at {target.url} as {account}: {type(error).__name__}") from error
    lines = headers.get_all("Set-Cookie", [])
    names = (target.session_cookie, f"__Host-{target.session_cookie}")
    pairs = [pair for line in lines if (pair := line.partition(";")[0].strip()).partition("=")[0] in names]
    if status != http.client.OK or not pairs:
        raise TargetError(f"cannot log in at {target.url} as {account}: status {status}")
    return pairs[0]


def _exchange(
    connection: http.client.HTTPConnection, method: str, path: str, body: Mapping[str, Any] | None = None
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Send one request and close the connection. Return status, headers and body (64 KiB at most)."""
    headers = {"Accept": "application/json", **({} if body is None else {"Content-Type": "application/json"})}
    try:
        connection.request(method, path, None if body is None else msgspec.json.encode(body), headers)
        response = connection.getresponse()
        return response.status, response.headers, response.read(65536)
    finally:
        connection.close()


def connect(target: Target) -> http.client.HTTPConnection:
    """Return a connection to a target, over TLS where its URL says so."""
    parts = urlsplit(target.url)
    if parts.scheme == "http":
        return http.client.HTTPConnection(parts.netloc, timeout=_TIMEOUT)
    context = ssl.create_default_context(cafile=target.authority)
    if target.insecure:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return http.client.HTTPSConnection(parts.netloc, timeout=_TIMEOUT, context=context)


def _has_user(body: bytes) -> bool:
    try:
        return "user" in msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False


def describe(spec: ClusterSpec) -> dict[str, Any]:
    """Describe the kind of a cluster in a record."""
    return {
        "node": spec.node.value,
        "nodes": spec.nodes,
        "workers": spec.workers,
        "store": spec.store.value,
        "balancing": spec.balance.value,
    }
