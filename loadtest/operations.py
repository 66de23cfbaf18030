"""What virtual users send and read: operations, the requests that carry them out, and the answers.

Which requests these are, and what their answers mean, says the file of a target: `loadtest.described.adapter`.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from msgspec import UNSET, UnsetType

from loadtest.history import Action, OpOutcome


def last_node(lines: Sequence[str]) -> str:
    """Return the node that answered, from the lines of the header that names it: of several, as nginx's
    $upstream_addr has them after a second try, the last."""
    return printable(", ".join(lines)).rpartition(", ")[2]


def printable(text: str) -> str:
    """Return text of a server with its control characters escaped, for a terminal."""
    return text if text.isprintable() else "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a virtual user; `item` and `quantity` belong to ADD.

    `password` is the number of the password that is sent, of the new one in a change; 0: not told. `may_fail`: it
    may be an old one, whose refusal is not a failure.
    """

    action: Action
    item: str = ""
    quantity: int = 0
    password: int = 0
    new_password: str = ""
    may_fail: bool = False


class Request(NamedTuple):
    """A request with a JSON body, or with `data` as `headers` describe it.

    `name` replaces the path in figures. `before`: it prepares the operation, and writes nothing.
    """

    method: str
    path: str
    body: Any = None
    data: str | None = None
    headers: Mapping[str, str] | None = None
    name: str = ""
    before: bool = False

    @property
    def shown(self) -> str:
        """The path in figures."""
        return self.name or self.path


class Response(NamedTuple):
    """An HTTP answer. `header` returns the lines of a header."""

    status: int
    body: bytes
    header: Callable[[str], list[str]]


@dataclass(frozen=True, slots=True)
class Answer:
    """How an operation ended, and the values that its answer shows (UNSET: not shown).

    `user` None: no user is logged in. `error` is the failure as HTTP; empty: none. `refused`: it is a login, and the
    application refused the password, as far as the answer tells. `then` are the requests of a look that follows, such
    as that of the page which a write redirects to: what it shows is not the write's own answer.
    """

    outcome: OpOutcome
    user: str | UnsetType | None = UNSET
    visits: int | UnsetType = UNSET
    cart: Mapping[str, int] | UnsetType = UNSET
    error: str = ""
    refused: bool = False
    then: "Exchange | None" = field(default=None, compare=False)


ADDRESS = "http://HOST[:PORT] or https://HOST[:PORT]"


def is_address(url: str) -> bool:
    """Return whether a URL is an `ADDRESS`; a slash at its end is allowed."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in {"http", "https"} and parts.port != 0 and (parts.hostname or "").encode("idna") != b""
    except ValueError:
        return False
    alone = url.rstrip("/").lower() == f"{parts.scheme}://{parts.netloc}".lower()
    return valid and alone and "@" not in parts.netloc and " " not in parts.netloc


Exchange = Generator[Request, Response, Answer]
"""The requests of one operation, one after another: it gets the answer to each, and returns that of the operation."""
Cookie = Callable[[str], str]
"""Returns the value of a cookie that the browser has; "" if it has none of this name."""
