"""Numbers as people write them: 100M, 1.5M, 5k; 16G bytes; 30d."""

from __future__ import annotations

import re

COUNTS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_NUMBER = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)([a-z]?)", re.ASCII | re.IGNORECASE)


def parse_count(text: str, least: float = 1, most: float = 10**10) -> int:
    """Return a whole number: "5k", "1.5M" and "2G" are 5,000, 1,500,000 and 2,000,000,000. Raises ValueError."""
    value = _parse(text, COUNTS, "")
    if value is None or not least <= value <= most or value != int(value):
        raise ValueError(
            f"must be a whole number from {show_count(least)} to {show_count(most)}, such as 5k or 1.5M, not {text!r}"
        )
    return int(value)


def parse_duration(text: str, least: float, most: float) -> float:
    """Return seconds: "90" and "90s", "30m", "12h", "30d". Raises ValueError."""
    value = _parse(text, SECONDS, "s")
    if value is None or not least <= value <= most:
        raise ValueError(f"must be from {least:g}s to {show_days(most)}, such as 30m, 12h or 30d, not {text!r}")
    return value


def _parse(text: str, units: dict[str, int], default: str) -> float | None:
    match = _NUMBER.fullmatch(text.strip())
    unit = (match[2].lower() or default) if match else ""
    if match is None or unit not in units:
        return None
    return round(float(match[1]) * units[unit], 6)


def show_count(value: float) -> str:
    """Return a large number with a suffix: "100M", "1.5k"; at most three digits after rounding."""
    for suffix, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if value >= size * 0.9995:
            return f"{_round(value / size)}{suffix}"
    return _round(value)


def show_days(seconds: float) -> str:
    """Return a duration in its largest unit: "30d", "12h", "90s"."""
    for unit in ("d", "h", "m"):
        if seconds >= SECONDS[unit]:
            return f"{_round(seconds / SECONDS[unit])}{unit}"
    return f"{_round(seconds)}s"


def _round(value: float) -> str:
    """Return three digits, and all of a larger number."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
