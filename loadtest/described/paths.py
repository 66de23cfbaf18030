"""Paths as browsers send them: of the file, and of the Locations of servers."""

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, urljoin, urlsplit

from loadtest.described.readings import NotShown
from loadtest.operations import printable

_SAFE = "/?#%:@!$&'()*+,;=~|^[]\\"


@dataclass(frozen=True)
class Location:
    """Where an answer redirects to; `target` is the path with the query, and `port` the one that it names itself, or
    that of the request for a path alone."""

    scheme: str
    host: str
    port: int | None
    path: str
    target: str

    @property
    def server(self) -> str:
        """HOST[:PORT]."""
        return self.host if self.port is None else f"{self.host}:{self.port}"

    def is_of(self, url: str, path: str) -> bool:
        """Return whether it is on the server of a URL, where `path` was requested. One without a port is: proxies pass
        on what applications know of their own address. Raises NotShown for https where the URL has http."""
        scheme, host, port = _server(url)
        if self.host != host:
            return False
        if (self.scheme, scheme) == ("https", "http") and (self.port in {None, port} or is_same_page(path, self.path)):
            raise NotShown(f'it redirects to https: give url = "https://{self.server}"')
        return self.port in {None, port}


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
    """Return whether two paths differ in their queries and a slash at the end alone."""
    return path.partition("?")[0].rstrip("/") == other.partition("?")[0].rstrip("/")


def resolve_location(base: str, text: str) -> Location | None:
    """Return where a Location leads, from the URL of its request; None for an empty one. Raises NotShown.

    Its bytes are UTF-8, as browsers take them: of HTTP libraries they come as Latin-1.
    """
    if not text:
        return None
    try:
        parts = urlsplit(urljoin(base, decode(text)))
        host = (parts.hostname or "").encode("idna").decode()
        port = parts.port
    except ValueError as error:
        raise NotShown(f"the Location {printable(text[:80])!r} is malformed") from error
    path = as_sent(parts.path or "/")
    return Location(parts.scheme, host, port, path, f"{path}?{as_sent(parts.query)}" if parts.query else path)


@lru_cache(maxsize=64)
def _server(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return parts.scheme, (parts.hostname or "").encode("idna").decode(), port


def decode(text: str) -> str:
    """Return a Location as people read it."""
    try:
        return text.encode("latin-1").decode()
    except UnicodeError:
        return text
