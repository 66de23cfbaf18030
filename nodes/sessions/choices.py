"""Types of options that are members of an enum, and may be given as its values too.

A type checker takes a descriptor's `__set__` for what a dataclass is made with, and its `__get__` for what it has. No
descriptor exists at run time: the dataclass replaces the value by the member (`checks.to_choice`).
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar, cast

E = TypeVar("E")
V = TypeVar("V")


class Choice(Generic[E, V]):
    """The type of an option that is an `E` once it is made, and may be given as a `V`."""

    def __get__(self, instance: object, owner: type | None = None) -> E:
        raise NotImplementedError

    def __set__(self, instance: object, value: E | V) -> None:
        raise NotImplementedError


def choice(default: E) -> Choice[E, Any]:
    """Return `default` as the default of a field of type `Choice`."""
    return cast(Any, default)  # type: ignore[no-any-return]
