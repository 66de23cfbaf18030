"""Whether something answers at an address that a file names."""

import http.client
import socket
import ssl
from urllib.parse import urlsplit

_SECONDS_TO_ANSWER = 1.0


def answers(url: str, bad: int = http.client.BAD_REQUEST) -> bool:
    """Return whether tcp://HOST:PORT accepts a connection, or an http address answers with a status below `bad`."""
    parts = urlsplit(url)
    try:
        if parts.scheme == "tcp":
            with socket.create_connection((parts.hostname or "", parts.port or 0), _SECONDS_TO_ANSWER):
                return True
        connection = http.client.HTTPConnection(parts.netloc, timeout=_SECONDS_TO_ANSWER)
        if parts.scheme == "https":
            context = ssl.create_default_context()  # whether its certificate is the right one, the load finds out
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            connection = http.client.HTTPSConnection(parts.netloc, timeout=_SECONDS_TO_ANSWER, context=context)
        try:
            connection.request("GET", f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}")
            return connection.getresponse().status < bad
        finally:
            connection.close()
    except (OSError, http.client.HTTPException):
        return False
