"""The result of a target's check, and its steps in words: what was sent, the answer, and what it shows."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from msgspec import UNSET

from loadtest.checker import Kind
from loadtest.claims.claim import Sight
from loadtest.described.adapter import REDIRECTS
from loadtest.described.paths import decode
from loadtest.operations import Answer, printable
from loadtest.target import Hop, Reply


@dataclass(frozen=True)
class CheckStep:
    """One request of the visit: how it went, and what its answer shows, or what is wrong with it."""

    name: str
    sent: str
    answered: str
    shows: str
    complaint: str = ""


@dataclass
class TargetCheck:
    """What a check has found. `mistakes` are lines with file and line number, and `misread` those among them by which
    a load would find nothing, or what is not so; `left` are those of what the check has changed and could not put back;
    `login_empties` tells what another login did not keep; `missing` is what nobody can find out, with the reason;
    `hints` are keys that the file could have."""

    steps: list[CheckStep] = field(default_factory=list)
    mistakes: list[str] = field(default_factory=list)
    misread: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    login_empties: str = ""
    missing: Mapping[Kind | Sight, str] = field(default_factory=dict)
    hints: list[str] = field(default_factory=list)


class Misread(str):
    """A complaint about the file: an answer is not what it says. Others are about the application."""


class Left(str):
    """A complaint about what the check has changed, and could not put back."""


def describe_answer(answer: Answer) -> str:
    """Return what an answer shows: "user7, counter 2, 3 items"."""
    parts = []
    if answer.user is None:
        parts.append("nobody")
    elif answer.user is not UNSET:
        parts.append(answer.user)
    if answer.visits is not UNSET:
        parts.append(f"counter {answer.visits}")
    if answer.cart is not UNSET:
        count = sum(answer.cart.values())
        parts.append(f"{count} item{'' if count == 1 else 's'}")
    return ", ".join(parts)


def describe_sent(reply: Reply) -> str:
    before = any(hop.request.before for hop in reply.hops if hop.request is not reply.request)
    page = " (after a page)" if before else ""
    return f"{reply.request.method} {reply.request.shown}{page}"


def describe_hops(hops: tuple[Hop, ...]) -> str:
    """Return the statuses, with where redirects lead: "302 /welcome, 302 /, 200"."""
    parts = []
    for hop in hops:
        if hop.request.before and any(not one.request.before for one in hops):
            continue
        where = next(iter(hop.response.header("Location")), "") if hop.response.status in REDIRECTS else ""
        parts.append(f"{hop.response.status}{' ' + printable(decode(where)) if where else ''}")
    return ", ".join(parts)


def list_items(items: Mapping[str, int]) -> str:
    """Return the names of the first three."""
    names = [repr(name) for name in items]
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
