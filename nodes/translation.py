"""Texts with values in them, translated by a catalogue: a JSON object of English -> Korean.

`{}` in an English text matches any value, and `{0}` in the Korean one is the first of them, translated as well if it is
in the catalogue. A text that the catalogue lacks stays English.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property, lru_cache
from pathlib import Path

import msgspec


class Catalogue:
    """The catalogue in a file.

    `separators` join several texts to one, the outermost first, and have what joins the Korean ones: each part is
    translated on its own, and no value has a separator in it. So is a remark in parentheses at the end, if the
    catalogue has it.
    """

    def __init__(self, path: Path, separators: Mapping[str, str] | None = None) -> None:
        self._path, self._separators = path, separators or {}
        self.to_korean = lru_cache(maxsize=1000)(self._translate)

    @cached_property
    def texts(self) -> Mapping[str, str]:
        """English -> Korean."""
        return msgspec.json.decode(self._path.read_bytes(), type=dict[str, str])

    def _translate(self, text: str) -> str:
        """Return the Korean text."""
        forms = (text, text[:1].lower() + text[1:]) if self._separators else (text,)
        for known in forms:
            if known in self.texts:
                return self.texts[known]
        head, _, remark = text.rpartition(" (")
        if self._separators and text.endswith(")") and remark[:-1] in self.texts and self.to_korean(head) != head:
            return f"{self.to_korean(head)} ({self.texts[remark[:-1]]})"
        for known in forms:
            for pattern, korean in self._patterns:
                if found := pattern.fullmatch(known):
                    return korean.format(*map(self.to_korean, found.groups()))
        if self._separators and text.endswith("."):
            return self.to_korean(text[:-1]) + "."
        for separator, korean in self._separators.items():
            if separator in text:
                parts = self._split(text, separator)
                translated = [self.to_korean(part) for part in parts]
                return korean.join(translated) if translated != parts else text
        return text

    def _split(self, text: str, separator: str) -> list[str]:
        """Return the parts of a text; one that the catalogue has as a whole is not divided."""
        parts = text.split(separator)
        for at in range(1, len(parts)):
            head, tail = separator.join(parts[:at]), separator.join(parts[at:])
            if (at > 1 and head in self.texts) or (at < len(parts) - 1 and tail in self.texts):
                return [head, tail]
        return parts

    @cached_property
    def _patterns(self) -> list[tuple[re.Pattern[str], str]]:
        """What texts with `{}` match, and their Korean text. The longest is first, being the most specific."""
        none = "".join(f"(?!{re.escape(one)})" for one in self._separators)
        value = f"((?:{none}.)+?)" if none else "(.+)"
        texts = [(text, korean) for text, korean in self.texts.items() if "{}" in text]
        texts.sort(key=lambda pair: -len(pair[0]))
        return [(re.compile(value.join(map(re.escape, text.split("{}"))), re.DOTALL), korean) for text, korean in texts]
