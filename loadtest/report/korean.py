"""Sentences of experiments, claims and reports in Korean. Results hold them in English, with values in them.

`korean.json` has their clauses; one that it lacks stays English.
"""

from pathlib import Path

import msgspec

from nodes.translation import Catalogue

_SEPARATORS = {". ": ". ", "; ": "; ", ": ": ": ", ", and ": ", ", ", ": ", ", " and ": ", "}
CATALOGUE = Catalogue(Path(__file__).with_name("korean.json"), _SEPARATORS)


class Said(msgspec.Struct, frozen=True):
    """A text in both languages, for a page that can be switched. `str` is the English one."""

    en: str
    ko: str

    def __str__(self) -> str:
        return self.en


def say(text: str) -> Said:
    """Return an English text with its Korean one."""
    return Said(text, CATALOGUE.to_korean(text))
