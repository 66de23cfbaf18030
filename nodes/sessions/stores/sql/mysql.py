"""Connections to MySQL and MariaDB whose exchanges have a deadline, and whose answers a bound.

PyMySQL's timeout starts again with each piece that arrives, so a byte each 0.15 s would hold a request for as long as
they come, and it reads answers of any size. A packet is announced with its length, so one that would exceed the bound
is refused before it is read.
"""

from __future__ import annotations

import time
from typing import Any

import pymysql
from pymysql.constants import CR

from ..receive import receive

_PIECE = 64 * 1024


_Connection: Any = pymysql.Connection  # the overridden methods are not in its types


class MySqlConnection(_Connection):  # type: ignore[misc]
    """A connection whose handshake is one exchange, and each command another one. It is closed after a failure.

    An exchange takes at most `seconds`. Its answer may have a record of `most` bytes, and what is around it.
    """

    def __init__(self, seconds: float, most: int, **parameters: Any) -> None:
        self._seconds, self._most = seconds, most + _PIECE
        super().__init__(**parameters)

    def _begin(self) -> None:
        self._until = time.monotonic() + self._seconds
        self._received = 0

    def _get_server_information(self) -> None:
        self._begin()
        self._piece = bytearray(_PIECE)
        self._unread = bytearray()
        super()._get_server_information()

    def _execute_command(self, command: int, sql: str | bytes) -> None:
        if self._unread:
            self._fail("bytes that no command has asked for")
        self._begin()
        super()._execute_command(command, sql)

    def _read_bytes(self, num_bytes: int) -> bytes:
        self._received += num_bytes
        if self._received > self._most:
            self._fail(f"an answer of more than {self._most} bytes")
        while len(self._unread) < num_bytes:
            self._receive()
        data = bytes(self._unread[:num_bytes])
        del self._unread[:num_bytes]
        return data

    def _receive(self) -> None:
        try:
            size = receive(self._sock, self._piece, self._until - time.monotonic())
        except OSError as error:
            self._fail(str(error), error)
        except BaseException:  # also an exit or a timeout of gevent: the answer is still to come
            self._force_close()
            raise
        if not size:
            self._fail("the server has closed the connection")
        self._unread += self._piece[:size]

    def _fail(self, why: str, cause: OSError | None = None) -> None:
        """Close the connection. Always raises OperationalError."""
        self._force_close()
        raise pymysql.OperationalError(CR.CR_SERVER_LOST, f"Lost connection to MySQL server ({why})") from cause
