"""A URL that names several servers: redis+sentinel:// and redis+cluster://, with rediss+ for TLS."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlencode

_URL = re.compile(r"(rediss?)\+(sentinel|cluster)://(?:([^@/]*)@)?([^/?#]+)(?:/([^?#]*))?(?:\?([^#]*))?\Z")
_PLACE = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:,\s]+))(?::(\d{1,5}))?\Z")
_PORTS = {"sentinel": 26379, "cluster": 6379}


class Place(NamedTuple):
    """Where a server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Servers:
    """What such a URL says.

    redis+sentinel://user:password@h1:26379,h2,h3/NAME    the primary that three Sentinels call NAME
    redis+cluster://user:password@h1:6379,h2,h3           a cluster, some of whose servers these are

    User and password are the store's. A Sentinel's own follow as `?sentinel_username=…&sentinel_password=…`, the
    number of the database as `db=1`; whatever else follows, such as `ssl_ca_certs`, is redis-py's.
    """

    by: str
    """ "sentinel" or "cluster"."""
    scheme: str
    """ "redis" or "rediss", of the store's servers and the Sentinels alike."""
    user: str
    """With the password, as it stands in the URL: "user:password"."""
    places: tuple[Place, ...]
    name: str
    """What the Sentinels call the primary."""
    database: str
    options: tuple[tuple[str, str], ...]
    sentinel_user: str = ""

    @classmethod
    def parse(cls, url: str) -> Servers | None:
        """None for a URL of one server. ValueError, which repeats no password, for what can't be meant."""
        if "+" not in url.partition("://")[0]:
            return None
        found = _URL.match(url)
        if not found:
            raise ValueError(
                "the URL is none: redis+sentinel://user:password@h1:26379,h2:26379/NAME or redis+cluster://"
            )
        scheme, by, user, hosts, path, query = found.groups()
        options = dict(parse_qsl(query or ""))
        who = tuple(quote(options.pop(f"sentinel_{part}", ""), safe="") for part in ("username", "password"))
        database = options.pop("db", "0")
        if by == "sentinel" and not path:
            raise ValueError("the URL names no primary: end it with /NAME, what the Sentinels call it")
        if by == "cluster" and (path or "0", database) != ("0", "0"):
            raise ValueError("a cluster has database 0 alone: leave it out of the URL")
        places = tuple(_place(each, _PORTS[by]) for each in hosts.split(","))
        sentinel_user = ":".join(who) if any(who) else ""
        rest = tuple(options.items())
        return cls(by, scheme, user or "", places, unquote(path or ""), database, rest, sentinel_user)

    def url_of(self, place: Place) -> str:
        """The URL of one of the store's servers."""
        return self._url(self.user, place, self.database)

    def url_of_sentinel(self, place: Place) -> str:
        return self._url(self.sentinel_user, place, "0")

    def _url(self, user: str, place: Place, database: str) -> str:
        who = f"{user}@" if user else ""
        query = f"?{urlencode(self.options)}" if self.options else ""
        return f"{self.scheme}://{who}{place}/{database}{query}"


def _place(text: str, port: int) -> Place:
    found = _PLACE.match(text.strip())
    if not found or not 0 < int(found[3] or port) <= 65535:
        raise ValueError(f"{text!r} is no host:port")
    return Place(found[1] or found[2], int(found[3] or port))
