"""Claims about how many requests and how many users found themselves logged out, over any figures that count them."""

import math
from dataclasses import dataclass
from typing import Protocol

from loadtest.verdict import HOLDS, Ruling, broken, not_enough


class Shares(Protocol):
    """Figures that tell how many users there were, and how many answers found one logged out that was not."""

    @property
    def users(self) -> int: ...

    @property
    def as_logged_in(self) -> int: ...

    @property
    def share_logged_out(self) -> float: ...

    @property
    def users_logged_out(self) -> int: ...


def amount(figures: Shares, min_requests: int, min_users: int) -> Ruling:
    """Whether there is enough to support anything: so many users, and answers to who was logged in."""
    if figures.users < min_users:
        return not_enough(f"{figures.users} users; {min_users} are needed")
    if figures.as_logged_in < min_requests:
        return not_enough(f"{figures.as_logged_in} requests made while logged in; {min_requests} are needed")
    return HOLDS


@dataclass(frozen=True)
class ShareOfRequests:
    """About this share of the requests made as a logged-in user find it logged out.

    The tolerance is what a binomial share of the requests seen stays within in 99 % of all runs (2.58 standard
    deviations), plus 0.05 for what the model leaves out: round robin deals strictly in turn, so consecutive requests
    are not quite independent. From 150 requests on that is at most 0.05 + 2.58 * 0.5 / sqrt(150) = 0.155, less than the
    1/6 between a half and its neighbours (a third, two thirds): they cannot be taken for one another. 10 users: fewer
    follow the strict turns in lockstep (a single one would always find itself logged out).

    `least` replaces the lower bound where the share is the most that can be expected. Two workers that accept from one
    socket share its connections as the kernel pleases: if one takes the part p, 2p(1-p) of the requests miss, which is
    a half for p = 0.5, a third for 0.79 and 0.095 for 0.95 (run: 19 to 49 % in 17 runs).
    """

    share: float
    words: str
    least: float | None = None
    min_requests: int = 150
    min_users: int = 10

    def check(self, figures: Shares) -> Ruling:
        enough = amount(figures, self.min_requests, self.min_users)
        if enough != HOLDS:
            return enough
        tolerance = 0.05 + 2.58 * math.sqrt(self.share * (1 - self.share) / figures.as_logged_in)
        least = self.share - tolerance if self.least is None else self.least
        if least <= figures.share_logged_out <= self.share + tolerance:
            return HOLDS
        return broken(
            f"{figures.share_logged_out:.0%} of the requests found the user logged out; "
            f"expected {self.words} (from {least:.0%} to {self.share + tolerance:.0%})"
        )


@dataclass(frozen=True)
class ShareOfUsers:
    """About this share of the users are logged out, once each or more often.

    nginx deals new clients out in turn, so the number pinned to one node varies less than a binomial one: two of its
    standard deviations are wide enough. 15 users, because from there on the lower bound is above one user.
    """

    share: float
    words: str
    min_requests: int = 60
    min_users: int = 15

    def check(self, figures: Shares) -> Ruling:
        enough = amount(figures, self.min_requests, self.min_users)
        if enough != HOLDS:
            return enough
        mean, spread = figures.users * self.share, 2 * math.sqrt(figures.users * self.share * (1 - self.share))
        low, high = math.ceil(mean - spread), math.floor(mean + spread)
        if low <= figures.users_logged_out <= high:
            return HOLDS
        return broken(
            f"{figures.users_logged_out} of {figures.users} users were logged out; "
            f"expected {self.words} (from {low} to {high})"
        )
