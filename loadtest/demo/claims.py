"""What a scene is to show, as claims about figures, and when a figure supports one.

Too little data supports nothing: below the amount that a claim names, the verdict is NOT_ENOUGH_DATA, never HOLDS.
"""

import math
from dataclasses import dataclass
from typing import Protocol

from loadtest.figures import Figures
from loadtest.shares import ShareOfRequests, ShareOfUsers, amount
from loadtest.verdict import HOLDS, Ruling, Verdict, broken, worst

__all__ = [
    "HOLDS",
    "Claim",
    "NoFailedRequest",
    "NothingLost",
    "OnlyWritesInFlightFailed",
    "Ruling",
    "ServedBy",
    "ShareOfRequests",
    "ShareOfUsers",
    "Verdict",
    "reasons",
    "worst",
]


class Claim(Protocol):
    """Something that figures can support or contradict."""

    @property
    def min_requests(self) -> int:
        """How many requests made as a logged-in user are enough to tell; 0 where facts speak for themselves."""

    def check(self, figures: Figures) -> Ruling: ...


@dataclass(frozen=True)
class NothingLost:
    """Nobody was logged out, and nobody's visits, cart or logout went missing.

    A loss is a fact and needs no amount of data. That there is none needs some: zero losses in n requests leave, by
    the rule of three, a loss rate of 3/n possible (95 %), so 60 requests exclude more than 5 %, where other scenes
    lose a half. And 12 users: if a third of them were hit, the chance to see none is (2/3)^12 < 1 %.
    """

    min_requests: int = 60
    min_users: int = 12

    def check(self, figures: Figures) -> Ruling:
        losses = {
            "found logged out": figures.logged_out,
            "visits lost": figures.visits_lost,
            "carts lost": figures.cart_lost,
            "logouts revived": figures.revived,
            "sessions crossed": figures.crossed,
        }
        lost = ", ".join(f"{count:,} {what}" for what, count in losses.items() if count)
        if lost:
            return broken(f"{lost}; expected none")
        return amount(figures, self.min_requests, self.min_users)


@dataclass(frozen=True)
class NoFailedRequest:
    """No request failed: no 5xx, no broken connection."""

    min_requests: int = 0

    def check(self, figures: Figures) -> Ruling:
        return broken(f"failed: {reasons(figures.failures)}") if figures.failed else HOLDS


@dataclass(frozen=True)
class OnlyWritesInFlightFailed:
    """A node is killed: no GET fails, because the proxy asks another node; a POST that was sent is not repeated.

    So a failure is a POST that was in flight on that node at that moment. Each user has at most one request in
    flight, and they spend most of their time waiting, so a tenth of the users (one at least) is a generous bound.
    """

    min_requests: int = 0

    def check(self, figures: Figures) -> Ruling:
        bound = max(1, math.ceil(figures.users / 10))
        if figures.failed_gets:
            return broken(f"GETs failed: {reasons(figures.failures)}")
        if figures.failed > bound:
            return broken(f"more than {bound} failed: {reasons(figures.failures)}")
        return HOLDS


@dataclass(frozen=True)
class ServedBy:
    """So many different nodes answered: what was scaled out does its share of the work."""

    nodes: int
    min_requests: int = 0

    def check(self, figures: Figures) -> Ruling:
        if len(figures.nodes) >= self.nodes:
            return HOLDS
        return broken(f"answered by {', '.join(figures.nodes) or 'no node'} alone; expected {self.nodes} nodes")


def reasons(failures: dict[str, int]) -> str:
    """ "2 x POST /visits: status 502, 1 x ..." """
    return ", ".join(f"{count} x {what}" for what, count in failures.items())
