"""Passwords that are tried first, since many people have them (ASVS 5.0, 6.2.4)."""

from __future__ import annotations

from functools import cache


def is_common(password: str) -> bool:
    """Whether it is among the 30,000 most frequent, in any case of its letters."""
    return password.lower() in _common()


@cache
def _common() -> frozenset[str]:
    from zxcvbn.frequency_lists import FREQUENCY_LISTS  # 10 MB, for who sets passwords alone

    return frozenset(FREQUENCY_LISTS["passwords"])
