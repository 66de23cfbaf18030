"""Checks of options with their types. An error is one line that names the option and what it takes."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, TypeVar

E = TypeVar("E", bound=Enum)


class OptionsError(ValueError):
    """An option is out of range, or contradicts another one."""


def check_type(name: str, value: object, kind: type | tuple[type, ...], expected: str) -> None:
    """Raise TypeError unless `value` is a `kind`. A bool is not a number."""
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise TypeError(f"{name} must be {expected}, not {value!r}")


def to_choice(name: str, value: Any, kind: type[E], also: Mapping[Any, E]) -> E:
    """Return the member of an enum for itself, for its value in upper or lower case, or for a key of `also`."""
    if isinstance(value, kind):
        return value
    if isinstance(value, bool) and value in also:
        return also[value]
    if isinstance(value, str):
        for member in kind:
            if member.value.lower() == value.lower():
                return member
    expected = ", ".join([*(repr(member.value) for member in kind), *map(repr, also)])
    error = OptionsError if isinstance(value, str | bool) else TypeError
    raise error(f"{name} must be one of {expected}, not {value!r}")
