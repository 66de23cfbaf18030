"""Paths as browsers send them: of the file, and of the Locations of servers."""

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, urljoin, urlsplit

from loadtest.described.readings import NotShown
from loadtest.http import printable

_SAFE = "/?#%:@!$&'()*+,;=~|^[]\\"


@dataclass(frozen=True)
class Location:
    """Where an answer redirects to; `target` is the path with the query."""

    host: str
    path: str
    target: str

    def is_of(self, url: str) -> bool:
        """Return whether it is on the host of a URL."""
        return self.host == _host(url)


@lru_cache(maxsize=4096)
def as_sent(path: str) -> str:
    """Return a path with everything percent-encoded that no request line may have; a `%` stays."""
    return quote(path, safe=_SAFE)


def as_address(url: str) -> str:
    """Return an address with its host in ASCII."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.encode('idna').decode()}" if not url.isascii() else url


def as_header(text: str) -> str:
    """Return a header's text as libraries take it, which is Latin-1: other characters are sent as UTF-8."""
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode().decode("latin-1")
    return text


def is_same_page(path: str, other: str) -> bool:
    """Return whether two paths differ in a slash at the end alone; the first may have a query."""
    return path.partition("?")[0].rstrip("/") == other.rstrip("/")


def resolve_location(base: str, text: str) -> Location | None:
    """Return where a Location leads, from the URL of its request; None for an empty one. Raises NotShown.

    Its bytes are UTF-8, as browsers take them: of HTTP libraries they come as Latin-1.
    """
    if not text:
        return None
    try:
        parts = urlsplit(urljoin(base, decode(text)))
        host = (parts.hostname or "").encode("idna").decode()
        _ = parts.port
    except ValueError as error:
        raise NotShown(f"the Location {printable(text[:80])!r} is malformed") from error
    path = as_sent(parts.path or "/")
    return Location(host, path, f"{path}?{as_sent(parts.query)}" if parts.query else path)


@lru_cache(maxsize=64)
def _host(url: str) -> str:
    return (urlsplit(url).hostname or "").encode("idna").decode()


def decode(text: str) -> str:
    """Return a Location as people read it."""
    try:
        return text.encode("latin-1").decode()
    except UnicodeError:
        return text
