"""Texts of the console: keys of one catalogue in English and Korean, which the page translates."""

from functools import cache
from pathlib import Path

import msgspec

STATIC = Path(__file__).with_name("static")
CATALOGUE = STATIC / "catalogue.json"


class Message(msgspec.Struct, frozen=True):
    """A text of the catalogue with the values of its {placeholders}. `str` is the English text, for curl and logs."""

    key: str
    values: dict[str, str | int | float] = {}

    def __str__(self) -> str:
        return read_catalogue()[self.key]["en"].format_map(self.values)


def message(key: str, **values: str | int | float) -> Message:
    """Return a message."""
    return Message(key, values)


@cache
def read_catalogue() -> dict[str, dict[str, str]]:
    """Return key -> language -> text."""
    return msgspec.json.decode(CATALOGUE.read_bytes(), type=dict[str, dict[str, str]])
