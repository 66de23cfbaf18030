"""The steady state: what must be so before a fault is applied, and again when it is undone."""

import http.client
import time
from urllib.parse import urlsplit

from deploy import Cluster, MemberState, Role

_ROUNDS = 4
"""So many requests for each node: they take turns, but the load's requests take theirs in between."""
_POLL = 0.2


class NotSteadyError(Exception):
    """The cluster is not well where it has to be; one line says what is wrong."""


def wait_steady(cluster: Cluster, timeout: float) -> None:
    """Return when every member runs, and every node serves a visitor and saves a session for it.

    Raises NotSteadyError after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while complaint := _complaint(cluster):
        if time.monotonic() > deadline:
            raise NotSteadyError(f"{complaint}, after {timeout:g} s of waiting")
        time.sleep(_POLL)


def _complaint(cluster: Cluster) -> str | None:
    members = cluster.members()
    for member in members:
        if member.state is not MemberState.RUNNING:
            return f"{member.name} is {member.state}"
    missing = {member.name for member in members if member.role is Role.NODE}
    for _ in range(_ROUNDS * len(missing)):
        try:
            status, node = _visit(cluster.url)
        except (OSError, http.client.HTTPException) as error:
            return f"the proxy does not answer ({type(error).__name__})"
        if status != http.client.OK:
            return f"POST /visits is answered with {status} ({node or 'by no node'})"
        missing.discard(node)
        if not missing:
            return None
    return f"{', '.join(sorted(missing))} does not serve"


def _visit(url: str) -> tuple[int, str]:
    """A new visitor's first write: the status, and the node that answered."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=5)
    try:
        connection.request("POST", "/visits", "{}", {"Content-Type": "application/json", "Accept": "application/json"})
        response = connection.getresponse()
        return response.status, response.getheader("X-Served-By", "")
    finally:
        connection.close()
