"""What figures say about a claim. Too little data supports nothing: it is NOT_ENOUGH_DATA, never HOLDS."""

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple


class Verdict(StrEnum):
    """From best to worst."""

    HOLDS = "holds"
    NOT_ENOUGH_DATA = "not enough data"
    BROKEN = "broken"


class Ruling(NamedTuple):
    """A verdict and, unless it holds, the reason in a few words."""

    verdict: Verdict
    reason: str = ""


HOLDS = Ruling(Verdict.HOLDS)


def broken(reason: str) -> Ruling:
    return Ruling(Verdict.BROKEN, reason)


def not_enough(reason: str) -> Ruling:
    return Ruling(Verdict.NOT_ENOUGH_DATA, reason)


def worst(rulings: Iterable[Ruling]) -> Ruling:
    """The worst of several; the reasons of all that are as bad. HOLDS for none."""
    order = list(Verdict)
    ranked = list(rulings)
    verdict = max((ruling.verdict for ruling in ranked), key=order.index, default=Verdict.HOLDS)
    return Ruling(verdict, "; ".join(ruling.reason for ruling in ranked if ruling.verdict is verdict and ruling.reason))
