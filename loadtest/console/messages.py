"""Texts of the console: keys of one catalogue in English and Korean, which the page translates.

Sentences of experiments and claims are data, in both languages (see `loadtest.report.korean`).

{count} in a text is a value, and {count|update is|updates are} a word for 1, and one for other numbers.
"""

import re
from functools import cache
from pathlib import Path

import msgspec

from loadtest.report.korean import Said, say

STATIC = Path(__file__).with_name("static")
CATALOGUE = STATIC / "catalogue.json"
PLACEHOLDER = re.compile(r"\{(\w+)(?:\|([^|}]*)\|([^|}]*))?\}")


class Message(msgspec.Struct, frozen=True):
    """A text of the catalogue with the values of its {placeholders}. `str` is the English text, for curl and logs."""

    key: str
    values: dict[str, str | int | float | Said] = {}

    def __str__(self) -> str:
        return PLACEHOLDER.sub(self._fill, read_catalogue()[self.key]["en"])

    def _fill(self, match: re.Match[str]) -> str:
        name, one, other = match.groups()
        value = str(self.values[name])
        return value if one is None else one if value == "1" else other


def message(key: str, **values: str | int | float | Said) -> Message:
    """Return a message."""
    return Message(key, values)


def say_error(error: Exception) -> Message:
    """Return an error as a message, in Korean as far as its words are known."""
    return message("raw", text=say(str(error)))


@cache
def read_catalogue() -> dict[str, dict[str, str]]:
    """Return key -> language -> text."""
    return msgspec.json.decode(CATALOGUE.read_bytes(), type=dict[str, dict[str, str]])
