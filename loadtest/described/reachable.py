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
    return not find_refusal(url, bad)


def find_refusal(url: str, bad: int = http.client.BAD_REQUEST) -> str:
    """Return why an address does not answer as `answers` wants it, as a clause; empty if it does."""
    try:
        parts = urlsplit(url)
        if why := find_address_mistake(url):
            return why
        if parts.scheme == "tcp":
            with socket.create_connection((parts.hostname or "", parts.port or 0), _SECONDS_TO_ANSWER):
                return ""
        connection = http.client.HTTPConnection(parts.netloc, timeout=_SECONDS_TO_ANSWER)
        if parts.scheme == "https":
            context = ssl.create_default_context()  # whether its certificate is the right one, the load finds out
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            connection = http.client.HTTPSConnection(parts.netloc, timeout=_SECONDS_TO_ANSWER, context=context)
        try:
            connection.request("GET", as_sent(f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"))
            status = connection.getresponse().status
            return "" if status < bad else f"it answers with status {status}"
        finally:
            connection.close()
    except ConnectionRefusedError:
        return "nothing listens there"
    except TimeoutError:
        return f"no answer within {_SECONDS_TO_ANSWER:g} s"
    except ssl.SSLError:
        return "it does not answer by https"
    except (OSError, http.client.HTTPException, ValueError) as error:  # what it can't ask does not answer
        return f"no answer: {getattr(error, 'strerror', None) or type(error).__name__}"


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
