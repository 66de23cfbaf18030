"""What the prober asks for, all the time: a page that needs no session, and who is logged in."""

import http.client
from urllib.parse import urlsplit

import msgspec

from deploy import Cluster
from loadtest.failover.steady import NotSteadyError
from loadtest.prober import Endpoint

SITE, SESSION = "site", "session"
"""A page that needs no session and no store; a read of the store."""


def targets(cluster: Cluster) -> tuple[Endpoint, ...]:
    """Both, the second with the cookie of a session that is made for it. Raises NotSteadyError where none can be."""
    return (
        Endpoint(name=SITE, url=f"{cluster.url}/live"),
        Endpoint(name=SESSION, url=f"{cluster.url}/me", cookie=_log_in(cluster)),
    )


def _log_in(cluster: Cluster) -> str:
    """The Cookie header of a new session. The session's cookie alone: the prober is to be pinned to no node."""
    user, password = next(iter(cluster.users.items()))
    connection = http.client.HTTPConnection(urlsplit(cluster.url).netloc, timeout=10)
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    try:
        connection.request("POST", "/login", msgspec.json.encode({"user": user, "password": password}), headers)
        response = connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        raise NotSteadyError(f"nobody can log in ({type(error).__name__})") from error
    finally:
        connection.close()
    pairs = (line.partition(";")[0] for line in response.headers.get_all("Set-Cookie", []))
    own = [pair for pair in pairs if pair.partition("=")[0].endswith(cluster.spec.session_cookie)]
    if response.status != http.client.OK or not own:
        raise NotSteadyError(f"nobody can log in (status {response.status})")
    return own[0]
