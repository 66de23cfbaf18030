"""Checks of options and arguments with their types. An error is one line that names them and what they take."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, TypeVar

E = TypeVar("E", bound=Enum)

MAX_OWNER = 255
"""Maximum length of an owner's name in characters, which every store can hold."""


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


def describe_type(value: object) -> str:
    """Return the type of a value for an error: without the value, which may be a URL with a password."""
    kind = value if isinstance(value, type) else type(value)
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return f"the class {name}" if kind is value else name


def check_store(store: object) -> None:
    """Raise TypeError unless `store` has the form of a store."""
    is_made = not isinstance(store, type) and hasattr(store, "codec") and hasattr(store, "cookie")
    if not is_made or not callable(getattr(store, "load", None)):
        raise TypeError(
            f"store must be a store, such as RedisStore.from_url(url) or MemoryStore(), not {describe_type(store)}"
        )


def check_url(url: object) -> None:
    """Raise TypeError unless `url` is a str."""
    if not isinstance(url, str):
        raise TypeError(f"url must be a str, not {describe_type(url)}")


def plain_text(text: str) -> str:
    """Return the text of a str, of a subclass, whose `str()` may be another one, or of a proxy for one."""
    return str.__str__(text) if issubclass(type(text), str) else str(text)


def to_owner(value: object, name: str = "owner") -> str:
    """Return the name of an owner, that of an int as str, since an owner is a text in every store.

    The `str()` of a subclass, such as that of an enum, does not count.

    Raises TypeError for other types, and ValueError for a text that not every store can hold.
    """
    check_type(name, value, (str, int), "a str, such as str(user.id)")
    assert isinstance(value, str | int)
    owner = plain_text(value) if isinstance(value, str) else str(int(value))
    if not 1 <= len(owner) <= MAX_OWNER or "\0" in owner or not is_unicode(owner):
        raise ValueError(
            f"{name} must have 1 to {MAX_OWNER} characters, no NUL and no lone surrogates, not {owner[:300]!r}"
        )
    return owner


def is_unicode(text: str) -> bool:
    """Return whether the text has no lone surrogates."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
