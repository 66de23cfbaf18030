"""The form of the reply to each command, checked before anything uses the reply.

A server that is faulty, or a faulty proxy in front of it, may send any reply. One of another form proves nothing: not
that a session is absent, and not that a record is corrupt, which would end the session.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

Form = Callable[[Any], bool]


def is_int(reply: Any) -> bool:
    return type(reply) is int


def is_bytes(reply: Any) -> bool:
    return type(reply) is bytes


def is_bytes_or_none(reply: Any) -> bool:
    return reply is None or type(reply) is bytes


def is_list(reply: Any) -> bool:
    return type(reply) is list


def is_list_of_bytes(reply: Any) -> bool:
    return type(reply) is list and _are_bytes(reply)


def is_list_of_bytes_or_none(reply: Any) -> bool:
    return type(reply) is list and all(map(is_bytes_or_none, reply))


def is_map(reply: Any) -> bool:
    """A map in RESP3; in RESP2 and from a script a flat list of names and values."""
    if type(reply) is dict:
        try:
            b"".join(reply)  # in half the time of a look at each type
            b"".join(reply.values())
        except TypeError:
            return False
        return True
    return is_list_of_bytes(reply) and len(reply) % 2 == 0


def is_number(reply: Any) -> bool:
    """A number as text, within 64 bits."""
    return type(reply) is bytes and reply.isdigit() and len(reply) <= 20


def is_number_or_none(reply: Any) -> bool:
    return reply is None or is_number(reply)


def is_time(reply: Any) -> bool:
    return type(reply) is list and len(reply) == 2 and all(map(is_number, reply))


def is_role(reply: Any) -> bool:
    """A primary: `master`, offset, replicas. A replica: `slave`, the primary's host and port, and more."""
    if type(reply) is not list or len(reply) < 2:
        return False
    return (reply[0] == b"master" and len(reply) == 3 and is_list(reply[2])) or (
        reply[0] == b"slave" and len(reply) >= 3 and is_bytes(reply[1]) and is_int(reply[2])
    )


def is_page(reply: Any) -> bool:
    """A page of SCAN: the next cursor and names."""
    return type(reply) is list and len(reply) == 2 and is_number(reply[0]) and is_list_of_bytes(reply[1])


def is_scalar(reply: Any) -> bool:
    return reply is None or type(reply) in (int, bytes)


def is_one_of(*words: bytes) -> Form:
    return lambda reply: type(reply) is bytes and reply in words


FORMS: dict[Any, Form] = {
    "CLUSTER": lambda reply: type(reply) in (bytes, str, list),
    "DEL": is_int,
    "HGET": is_bytes_or_none,
    "HGETALL": is_map,
    "INFO": is_bytes,
    "MGET": is_list_of_bytes_or_none,
    "PEXPIRE": is_int,
    "PTTL": is_int,
    "ROLE": is_role,
    "SCAN": is_page,
    "SCRIPT": is_bytes,
    "GET": is_bytes_or_none,
    "SET": is_bytes_or_none,
    "TIME": is_time,
    "TYPE": is_bytes,
    "WAIT": is_int,
    "ZRANDMEMBER": is_list_of_bytes,
    "ZRANGE": is_list_of_bytes,
}
"""Forms by the name of the command; those of scripts by their SHA-1. Commands without a form may get any reply."""


def _are_bytes(values: Iterable[Any]) -> bool:
    try:
        b"".join(values)
    except TypeError:
        return False
    return True
