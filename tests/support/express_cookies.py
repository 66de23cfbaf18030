"""Values of express-session's cookie, genuine but for their percent-encoding."""

from __future__ import annotations

from collections.abc import Callable

BROKEN: dict[str, Callable[[str], str]] = {
    "nothing but a percent sign": lambda value: "%",
    "cut off in an escape": lambda value: value[:-1] + "%2",
    "an escape of no digits": lambda value: "%zz" + value,
    "one at the end": lambda value: value + "%",
    "a broken one beside good ones": lambda value: value.replace("s%3A", "s%3A%"),
    "encoded twice": lambda value: value.replace("%", "%25"),
    "bytes that are no UTF-8": lambda value: value.replace("s%3A", "s%3A%ff%fe"),
    "a character that is cut off": lambda value: value + "%E0%A4",
    "longer than it has to be": lambda value: value.replace("s%3A", "s%C0%BA"),
    "half of a surrogate pair": lambda value: value.replace("s%3A", "s%3A%ED%A0%80"),
    "a zero": lambda value: value + "%00",
    "a line break": lambda value: value + "%0d%0aSet-Cookie:%20a=b",
    "bytes beyond ASCII": lambda value: value + "\xff\xe9",
    "thousands of them": lambda value: "%" * 4000,
}
READABLE: dict[str, Callable[[str], str]] = {
    "as it was set": lambda value: value,
    "not encoded": lambda value: value.replace("%3A", ":").replace("%2F", "/").replace("%2B", "+"),
    "in small letters": lambda value: value.replace("%3A", "%3a").replace("%2F", "%2f").replace("%2B", "%2b"),
    "encoded without need": lambda value: value.replace(".", "%2E"),
}
