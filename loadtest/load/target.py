"""What a load goes to, and whether it speaks the interface at all: asked once, before a crowd finds out."""

import http.client
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from deploy import ClusterSpec, LocalCluster

_TIMEOUT = 10.0


class TargetError(Exception):
    """There is nothing that a load could go to; one line that says where and why."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A cluster as its users see it.

    `cookie` is the name of the session's cookie. `authority` is the certificate that signs an https one (None: the
    system knows), `insecure`: nobody has to. `described` is what to say of it in a record; `cluster` is it itself where
    it is one of this machine.
    """

    url: str
    accounts: Mapping[str, str]
    cookie: str
    authority: Path | None = None
    insecure: bool = False
    described: Mapping[str, Any]
    cluster: LocalCluster | None = None

    def check(self) -> None:
        """Ask for GET /me. Raises TargetError for what does not answer as the README's table says."""
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/"):
            raise TargetError(f"{self.url} is no target: give http:// or https://, a host, and no path")
        context = ssl.create_default_context(cafile=self.authority) if parts.scheme == "https" else None
        if context and self.insecure:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = (
            http.client.HTTPSConnection(parts.netloc, timeout=_TIMEOUT, context=context)
            if context
            else http.client.HTTPConnection(parts.netloc, timeout=_TIMEOUT)
        )
        try:
            connection.request("GET", "/me", headers={"Accept": "application/json"})
            answer = connection.getresponse()
            status, body = answer.status, answer.read(65536)
        except ssl.SSLCertVerificationError as error:
            how = "name its authority with --ca, or give --insecure"
            raise TargetError(
                f"{self.url} is signed by nobody who is trusted: {error.verify_message}; {how}"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise TargetError(f"{self.url} does not answer: {error or type(error).__name__}") from error
        finally:
            connection.close()
        if status != http.client.OK or not _speaks_of_a_user(body):
            raise TargetError(f"{self.url} does not speak the interface of the README: GET /me answered {status}")


def _speaks_of_a_user(body: bytes) -> bool:
    try:
        return "user" in msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False


@contextmanager
def of_cluster(cluster: LocalCluster) -> Iterator[Target]:
    """A cluster of this machine that runs for as long as the load does."""
    with cluster:
        yield Target(
            url=cluster.url,
            accounts=cluster.users,
            cookie=cluster.spec.session_cookie,
            authority=cluster.authority,
            described=describe(cluster.spec),
            cluster=cluster,
        )


def describe(spec: ClusterSpec) -> dict[str, Any]:
    """A cluster's kind in a record."""
    return {
        "node": spec.node.value,
        "nodes": spec.nodes,
        "workers": spec.workers,
        "store": spec.store.value,
        "balancing": spec.balance.value,
    }
