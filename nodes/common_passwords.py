"""Passwords that are tried first, since many people have them (ASVS 5.0, 6.2.4)."""

from __future__ import annotations

from functools import cache
from pathlib import Path


def is_common(password: str) -> bool:
    """Whether it is one of the 3,000 most frequent that are long enough, in any case of its letters."""
    return password.lower() in _common()


@cache
def _common() -> frozenset[str]:
    lines = Path(__file__).with_suffix(".txt").read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))
