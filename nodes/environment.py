"""Environment variables as typed values, and the errors of wrong ones."""

from __future__ import annotations

import math
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import Enum
from pathlib import Path
from typing import Any

_SWITCH = {"on": True, "true": True, "1": True, "yes": True, "off": False, "false": False, "0": False, "no": False}


class SettingsError(ValueError):
    """A wrong setting. The message is one line: variable, value, fix. It never contains a secret."""


@dataclass(frozen=True)
class Environment:
    """Typed access to environment variables. An empty one counts as unset, because compose files pass empty ones."""

    values: Mapping[str, str]

    def text(self, name: str) -> str | None:
        """Return the variable without the white space around it; None where it is unset."""
        return self.values.get(name, "").strip() or None

    def choice(self, name: str, default: str, choices: Iterable[str]) -> str:
        """Return one of `choices`, in lower case."""
        value, sorted_choices = (self.text(name) or default).lower(), sorted(choices)
        if value not in sorted_choices:
            hint = did_you_mean(value, sorted_choices)
            raise SettingsError(f"{name} must be one of {', '.join(sorted_choices)}, not {value}{hint}")
        return value

    def switch(self, name: str, default: bool) -> bool:
        """Return whether the variable is on (also true, yes, 1) or off (false, no, 0)."""
        value = self.text(name)
        if value is None:
            return default
        if value.lower() not in _SWITCH:
            raise SettingsError(f"{name} must be on or off, not {value}")
        return _SWITCH[value.lower()]

    def whole(self, name: str, default: int, low: int, high: int) -> int:
        """Return a whole number from `low` to `high`."""
        return int(self._number(name, default, low, high, int, "whole number"))

    def seconds(self, name: str, default: float, low: float, high: float) -> float:
        """Return a number of seconds from `low` to `high`."""
        return self._number(name, default, low, high, float, "number of seconds")

    def _number(
        self, name: str, default: float, low: float, high: float, read: Callable[[str], float], kind: str
    ) -> float:
        value = self.text(name)
        try:
            number = default if value is None else read(value)
        except ValueError:
            number = math.nan
        if not low <= number <= high:
            raise SettingsError(f"{name} must be a {kind} from {low} to {high}, not {value}")
        return number

    def file(self, name: str) -> Path | None:
        """Return the path of a regular file that exists."""
        value = self.text(name)
        if value is None:
            return None
        try:
            mode = Path(value).stat().st_mode
        except FileNotFoundError:
            raise SettingsError(f"{name}={value}: no such file; make it, or correct the path") from None
        except OSError as error:
            raise SettingsError(f"cannot read {name}={value}: {error.strerror}") from None
        if not stat.S_ISREG(mode):
            raise SettingsError(f"{name}={value}: it is not a regular file; correct the path")
        return Path(value)

    def secret(self, name: str) -> tuple[str | None, str]:
        """Return the secret in `name` or in the file `name`_FILE, and the name of the variable that was set.

        Container platforms pass secrets in files, because everyone who can inspect a container sees its environment.
        """
        in_file = f"{name}_FILE"
        value, path = self.text(name), self.file(in_file)
        if value is not None and path is not None:
            raise SettingsError(f"{name} and {in_file}={path} are both set: drop one of them")
        if path is None:
            return value, name
        try:
            value = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise SettingsError(f"cannot read {in_file}={path}: {reason}") from None
        if not value:
            raise SettingsError(f"{in_file}={path}: the file is empty; write the value into it, or unset the variable")
        return value, in_file

    def secrets(self, name: str) -> tuple[tuple[str, ...], str]:
        """Return secrets, separated by commas in the variable or one a line in the file, and the variable's name."""
        value, source = self.secret(name)
        parts = (value or "").split("\n" if source.endswith("_FILE") else ",")
        return tuple(part.strip() for part in parts if part.strip()), source


def did_you_mean(text: str, choices: Iterable[str]) -> str:
    """Return the end of an error about an unknown name: the choice nearest to it, or nothing."""
    near = get_close_matches(text, sorted(choices), n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""


# ---- settings as fields of a dataclass


@dataclass(frozen=True)
class Setting:
    """One row of the table: an environment variable, and how it is read."""

    variable: str
    values: str
    """The values that it takes, for the documentation."""
    help: str
    read: Callable[[Environment], Any]
    """Returns None where the variable is unset and the default holds."""
    default: str
    """For the documentation."""
    stores: tuple[Enum, ...] = ()
    """Read for these stores only; for all where it is empty."""
    example: str = ""
    """What to set, in the error for a value that is required and not set. Empty where none is required."""

    def from_environment(self, env: Environment) -> Any:
        """Return the value, or None where the default holds. Raises SettingsError."""
        value = self.read(env)
        if value is None and self.example:
            kinds = " or ".join(kind.value for kind in self.stores)
            needed = f", and SESSION_STORE={kinds} needs it" if kinds else ""
            raise SettingsError(f"{self.variable} is not set{needed}: {self.example}")
        return value


def setting(
    variable: str,
    default: Any,
    values: str,
    help_: str,
    read: Callable[[Environment], Any],
    *,
    stores: tuple[Enum, ...] = (),
    example: str = "",
    shown: str | None = None,
    is_secret: bool = False,
) -> Any:
    """Return a dataclass field of this setting; `shown` is its default in the documentation."""
    if shown is None:
        shown = f"`{default}`" if isinstance(default, str) else f"{default:g}"
    setting = Setting(variable, values, help_, read, shown, stores, example)
    return field(default=default, repr=not is_secret, metadata={"": setting})


def whole(variable: str, default: int | None, low: int, high: int, help_: str) -> Any:
    """Return the field of a whole number; 0 stands for a default of None."""
    number = default or 0

    def read(env: Environment) -> int | None:
        value = env.whole(variable, number, low, high)
        return None if default is None and value == 0 else value

    return setting(variable, default, f"{low} to {high}", help_, read, shown=str(number))


def seconds(variable: str, default: float, low: float, high: float, help_: str) -> Any:
    read: Callable[[Environment], float] = lambda env: env.seconds(variable, default, low, high)  # noqa: E731
    return setting(variable, default, f"{low:g} to {high} s", help_, read)


def switch(variable: str, default: bool, help_: str) -> Any:
    shown = "on" if default else "off"
    return setting(variable, default, "on, off", help_, lambda env: env.switch(variable, default), shown=shown)


def choice(variable: str, choices: str, help_: str, make: Callable[[str], Any] = str) -> Any:
    """Return the field of a choice, which `make` converts; the first word is the default."""
    words = choices.split()
    values = ", ".join(f"`{word}`" for word in words)
    return setting(
        variable, make(words[0]), values, help_, lambda env: make(env.choice(variable, words[0], words)),
        shown=f"`{words[0]}`",
    )  # fmt: skip
