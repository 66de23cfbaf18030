"""Keys of records that are no sessions: counters that an application keeps beside them, such as of guessed passwords.

They share the server, its clock and its atomic updates, and nothing else: no power lists, counts or ends them. Their
first letter sets them apart: no key of a session, 64 hexadecimal digits, begins with it. In Redis they are below the
prefix that the ACL allows, in a database no wider than its column, and as names of files as harmless as the others.
"""

from __future__ import annotations

import hashlib
import re

COUNTER = "g"
"""The first letter that is no hexadecimal digit: sorted, all keys of sessions come before it."""
PATTERN = f"^{COUNTER}[0-9a-f]{{63}}$"
"""For databases in which keys of sessions can be any text."""
_KEY = re.compile(COUNTER + r"[0-9a-f]{63}\Z")


def counter_key(*parts: str) -> str:
    """The key of the counter that these texts name; no other texts have the same."""
    named = "".join(f"{len(part)}:{part}" for part in parts)
    return COUNTER + hashlib.sha256(named.encode("utf-8", "surrogatepass")).hexdigest()[1:]


def is_counter(key: str) -> bool:
    """Whether a record of this key is a counter and no session."""
    return _KEY.match(key) is not None
