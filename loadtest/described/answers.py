"""Whether something answers at an address that a file names."""

import http.client
import re
import socket
import ssl
from urllib.parse import urlsplit

from loadtest.described.paths import as_sent

SCHEMES = ("http", "https", "tcp")
_SECONDS_TO_ANSWER = 1.0


def answers(url: str, bad: int = http.client.BAD_REQUEST) -> bool:
    """Return whether tcp://HOST:PORT accepts a connection, or an http address answers with a status below `bad`."""
    try:
        parts = urlsplit(url)
        if find_address_mistake(url):
            return False
        if parts.scheme == "tcp":
            with socket.create_connection((parts.hostname or "", parts.port or 0), _SECONDS_TO_ANSWER):
                return True
        connection = http.client.HTTPConnection(parts.netloc, timeout=_SECONDS_TO_ANSWER)
        if parts.scheme == "https":
            context = ssl.create_default_context()  # whether its certificate is the right one, the load finds out
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            connection = http.client.HTTPSConnection(parts.netloc, timeout=_SECONDS_TO_ANSWER, context=context)
        try:
            connection.request("GET", as_sent(f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"))
            return connection.getresponse().status < bad
        finally:
            connection.close()
    except (OSError, http.client.HTTPException, ValueError):  # what it can't ask does not answer
        return False


def find_address_mistake(url: str) -> str:
    """Return why nothing could answer at a URL, as a clause; empty if something could."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        encoded = host.encode("idna").decode()
    except ValueError:
        return "it has no valid host and port"
    if parts.scheme not in SCHEMES:
        return f"it must begin with {', '.join(f'{one}://' for one in SCHEMES[:-1])} or {SCHEMES[-1]}://"
    if not re.fullmatch(r"[A-Za-z0-9._:%-]+", encoded) or "@" in parts.netloc:
        return "it has no valid host"
    return "it needs a port from 1 on" if port == 0 or (port is None and parts.scheme == "tcp") else ""
