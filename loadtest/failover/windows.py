"""Stretches of time in which answers were slow."""

from collections.abc import Sequence

from loadtest.history import Probe

APART = 1.0
"""Slow answers whose questions lie further apart, in seconds, belong to different stretches."""


def longest_slow(probes: Sequence[Probe], slow: float) -> float:
    """The longest stretch, in seconds, over which questions were asked whose answers took more than `slow` seconds.

    By when they were asked: an answer that takes 2 s is bad for whoever asked, and says nothing about who asks next.
    """
    asked = sorted(probe.started for probe in probes if probe.ended - probe.started > slow)
    longest, begin = 0.0, 0.0
    for previous, now in zip([None, *asked], asked, strict=False):
        if previous is None or now - previous > APART:
            begin = now
        longest = max(longest, now - begin)
    return longest
