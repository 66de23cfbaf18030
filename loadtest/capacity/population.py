"""The sessions of a filled store by number: ids and owners from a seed, and copies of a record that a node wrote."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from nodes.sessions.cookie import SignedCookie

_POLYNOMIAL = 0x95AC9329AC4BC9B5
"""Of CRC-64 Jones, which DUMP ends with, bits reversed."""


@dataclass(frozen=True)
class Population:
    """Sessions 0, 1, 2, ... of one seed. Each has a user of its own."""

    seed: str

    def session_id(self, number: int) -> str:
        """Return an id of 256 bits, which looks as those of `secrets`."""
        digest = hashlib.sha256(f"{self.seed}:{number}".encode()).digest()
        return base64.urlsafe_b64encode(digest).decode("ascii").rstrip("=")

    def key(self, number: int) -> str:
        """Return the key at the store."""
        return SignedCookie().to_key(self.session_id(number))

    def cookie(self, number: int, secret: bytes) -> str:
        """Return the value of the session's cookie."""
        return SignedCookie().sign(self.session_id(number), secret)


def owner(number: int) -> str:
    """Return the user of a session; all names are equally long, so that all records are."""
    return f"u{number:010d}"


class SessionDump:
    """The DUMP of a session of the user `owner(0)`, and those of other users made from it.

    The name stands in it as text where the server does not compress (rdbcompression no). The dump ends with a checksum
    of all of it, which is linear: that of a difference is added, without going through the dump.
    """

    def __init__(self, dump: bytes) -> None:
        name = owner(0).encode()
        parts = dump[:-8].split(name)
        if len(parts) != 2:
            raise ValueError(f"the user's name must be in the dump once, not {len(parts) - 1} times")
        self._before, self._after = parts[0], parts[1]
        self._checksum = int.from_bytes(dump[-8:], "little")
        if crc64(dump[:-8]) != self._checksum:
            raise ValueError("the dump does not end with a CRC-64 of it")
        # A digit's difference to "0", and what it adds to the checksum from its place.
        digits = range(len(name) - 1)
        self._added = [
            [crc64(bytes([digit]) + bytes(len(self._after) + len(digits) - 1 - place)) for digit in range(10)]
            for place in digits
        ]

    def of(self, number: int) -> bytes:
        """Return the dump of the session of `owner(number)`."""
        name = owner(number)
        checksum = self._checksum
        for place, digit in enumerate(name[1:]):
            checksum ^= self._added[place][int(digit)]
        return self._before + name.encode() + self._after + checksum.to_bytes(8, "little")


def crc64(data: bytes) -> int:
    """Return the CRC-64 Jones of `data`, as Redis and Valkey compute it."""
    checksum = 0
    for byte in data:
        checksum = _TABLE[(checksum ^ byte) & 0xFF] ^ (checksum >> 8)
    return checksum


def _make_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (_POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return tuple(table)


_TABLE = _make_table()
