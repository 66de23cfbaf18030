"""Options in the URL of a store, such as `?ssl_ca_certs=/ca.pem`: their names and values, checked before any use.

A driver ignores some wrong options, and finds others when it connects, in each request. Options that the store's
`Budgets` set are refused too, because one of the two would have no effect.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple


class Values(NamedTuple):
    """The values that an option takes."""

    is_valid: Callable[[str], object]
    description: str


def pattern(regex: str, description: str) -> Values:
    """Return the values that match a regular expression as a whole."""
    return Values(re.compile(rf"(?:{regex})\Z").match, description)


def one_of(*words: str) -> Values:
    """Return these values alone."""
    return Values(words.__contains__, " or ".join(words))


TEXT = Values(bool, "a text")
NAME = pattern(r"[!-~]+", "letters, digits and signs, without a space")
WHOLE = pattern(r"[0-9]{1,9}", "a whole number")
YES_OR_NO = pattern(r"true|false|yes|no|1|0", "true or false")
FILE = Values(lambda path: os.access(path, os.R_OK), "the path of a file that can be read")


def check_options(given: Iterable[tuple[str, str]], allowed: Mapping[str, Values], budgeted: Collection[str]) -> None:
    """Raise ValueError for an option that is unknown, given twice, set by the budgets, or has a wrong value.

    Values are not in the errors, because some are passwords.
    """
    seen, pairs = set[str](), list(given)
    for name, value in pairs:
        if name in budgeted:
            raise ValueError(f"the URL must not have the option {name!r}, which the store's budgets set; leave it out")
        if name not in allowed and any("@" in each for pair in pairs for each in pair):
            raise ValueError("the URL has an unknown option with '@'; write '?' in a password as %3F")
        if name not in allowed:
            raise ValueError(f"the URL has an unknown option: {name!r}; leave it out")
        if name in seen:
            raise ValueError(f"the URL has the option {name!r} twice; leave one out")
        seen.add(name)
        if not allowed[name].is_valid(value):
            raise ValueError(f"the URL has a wrong option: {name!r} must be {allowed[name].description}")
