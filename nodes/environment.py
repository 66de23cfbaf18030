"""Reads typed values out of environment variables. Every error is one line: the variable, its value, what to do."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

_SWITCH = {"on": True, "true": True, "1": True, "yes": True, "off": False, "false": False, "0": False, "no": False}


class SettingsError(ValueError):
    """A setting that can't be meant: one line that names the variable, its value and what to do."""


@dataclass(frozen=True)
class Environment:
    """Typed access to `values`. A variable that is empty counts as unset, since compose files pass those on."""

    values: Mapping[str, str]

    def text(self, name: str) -> str | None:
        """The variable without the white space around it; None where it is unset."""
        return self.values.get(name, "").strip() or None

    def choice(self, name: str, default: str, choices: Iterable[str]) -> str:
        """One of `choices`, in lower case; an error names the nearest of them."""
        value, known = (self.text(name) or default).lower(), sorted(choices)
        if value not in known:
            near = get_close_matches(value, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}? " if near else ""
            raise SettingsError(f"{name}={value}: {hint}use one of {', '.join(known)}")
        return value

    def switch(self, name: str, default: bool) -> bool:
        """on or off (also true/false, yes/no, 1/0)."""
        value = self.text(name)
        if value is None:
            return default
        if value.lower() not in _SWITCH:
            raise SettingsError(f"{name}={value}: use on or off")
        return _SWITCH[value.lower()]

    def whole(self, name: str, default: int, low: int, high: int) -> int:
        """A whole number from `low` to `high`."""
        value = self.text(name)
        try:
            number = default if value is None else int(value)
        except ValueError:
            raise SettingsError(f"{name}={value}: use a whole number from {low} to {high}") from None
        if not low <= number <= high:
            raise SettingsError(f"{name}={value}: use a whole number from {low} to {high}")
        return number

    def seconds(self, name: str, default: float, low: float, high: float) -> float:
        """A number of seconds from `low` to `high`."""
        value = self.text(name)
        try:
            number = default if value is None else float(value)
        except ValueError:
            number = math.nan
        if not low <= number <= high:
            raise SettingsError(f"{name}={value}: use a number of seconds from {low:g} to {high:g}")
        return number

    def file(self, name: str) -> Path | None:
        """The path of a file that exists."""
        value = self.text(name)
        if value is None:
            return None
        path = Path(value)
        if not path.is_file():
            raise SettingsError(f"{name}={value}: there is no such file; make it, or correct the path")
        return path

    def secret(self, name: str) -> tuple[str | None, str]:
        """What `name` holds, or the file that `name`_FILE points to, and which of the two it was; for error messages.

        Files are how container platforms hand over secrets, because an environment can be read by whoever may inspect
        the container.
        """
        in_file = f"{name}_FILE"
        value, path = self.text(name), self.file(in_file)
        if value is not None and path is not None:
            raise SettingsError(f"{name} and {in_file}={path} are both set: drop one of them")
        if path is None:
            return value, name
        try:
            return path.read_text(encoding="utf-8").strip() or None, in_file
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise SettingsError(f"{in_file}={path}: can't be read ({reason})") from None
