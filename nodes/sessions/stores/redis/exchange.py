"""One exchange with a server: commands in one packet, and the replies to them alone, within a deadline and bounds.

The server, or a proxy in front of it, may answer badly: slowly, too much, twice, for another client, or nonsense. So

- the time is for the whole exchange, and the handshake of a connection is one exchange. A socket's own timeout starts
  again with each piece that arrives, so a byte each 0.15 s would hold a read for as long as they come;
- a reply is refused as soon as a length above the bound is announced, or as many bytes have arrived. hiredis would
  allocate an array of the announced length at once, and needs 3 s to free one of 400 million elements;
- the commands are followed by PING with a mark of this exchange. Its reply proves that those before it are the replies
  to these commands: none came too late, twice or for another connection. A look into the socket's buffer would not see
  what arrives a moment later;
- each reply has the form that its command demands (`reply_forms.py`).

All of it is one pass over the replies, and costs less than redis-py's own reading of them did: docs/performance.md.
Whatever fails raises an error of redis-py or an OSError. The connection must then be closed.
"""

from __future__ import annotations

import fcntl
import secrets
import socket
import termios
import time
from collections.abc import Sequence
from typing import Any, TypeAlias

import hiredis
import redis
from redis._parsers.hiredis import NOT_ENOUGH_DATA
from redis.connection import DefaultParser

from ..receive import receive
from .reply_forms import FORMS

Commands: TypeAlias = Sequence[tuple[str | bytes | int, ...]]

_ERROR_LENGTH = 120
"""Characters of an error's text that are kept: it goes into logs."""
_PING = b"*2\r\n$4\r\nPING\r\n$8\r\n%b\r\n"
_LINE = 64 * 1024
"""Bytes of a line, such as an error. hiredis and `_Lengths` look through it again with each piece."""
_NO_BYTES = bytes(4)
_TCP_INFO: int = getattr(socket, "TCP_INFO", -1)
_ESTABLISHED = b"\x01"
"""The first byte of TCP_INFO where neither side has closed the connection."""
_MIN_ELEMENT = 3
"""Bytes of the shortest element of an array."""
_ARRAYS = {b"*", b">", b"%", b"~", b"|"}
_STRINGS = {b"$", b"=", b"!"}


class BoundedParser(DefaultParser):  # type: ignore[misc,valid-type]
    """redis-py's parser by hiredis, for replies of at most `most` bytes in an exchange, within the socket's timeout."""

    def __init__(self, socket_read_size: int, most: int) -> None:
        super().__init__(socket_read_size)
        self._most = most
        self._lengths: _Lengths | None = None

    def on_connect(self, connection: Any, **options: Any) -> None:
        super().on_connect(connection, **options)
        self._is_tls = hasattr(self._sock, "pending")
        self._mark = secrets.randbits(60)
        self.begin()

    def send(self, packets: list[bytes], marked: bool) -> bytes | None:
        """Start an exchange: send `packets`, and PING with its mark if it has one. Return the mark. Raises OSError."""
        self.begin()
        mark = None
        if marked:
            self._mark += 1
            mark = self._mark.to_bytes(8, "big")
            packets.append(_PING % mark)
        packed = b"".join(packets)
        sock = self._sock
        if sock is None:
            raise redis.ConnectionError("the connection is closed")
        # In one system call what fits into the socket's buffer; gevent's `sendall` makes two.
        sent = sock.send(packed)
        if sent < len(packed):
            sock.sendall(memoryview(packed)[sent:])
        return mark

    def begin(self) -> None:
        """Start the time of an exchange, and the count of its bytes."""
        self._started = time.monotonic()
        self._received = 0

    def read(self, commands: Commands, mark: bytes | None) -> list[Any]:
        """Return the replies to `commands`, an error of the server as a `ResponseError`. Raises redis-py's and OSError.

        `mark` is that of the PING after them; None without one.
        """
        gets = self._reader.gets
        replies: list[Any] = []
        unlike = None
        try:
            for command in commands:
                while (reply := gets()) is NOT_ENOUGH_DATA:
                    self.read_from_socket()
                if isinstance(reply, Exception):
                    reply = _to_response_error(reply)
                else:
                    form = FORMS.get(command[1] if command[0] == "EVALSHA" else command[0])
                    if form is not None and not form(reply):
                        unlike = command
                replies.append(reply)
            if mark is not None:
                while (last := gets()) is NOT_ENOUGH_DATA:
                    self.read_from_socket()
                if last != mark:
                    _check_refused([*replies, _to_response_error(last)])
        except (redis.RedisError, OSError):
            raise
        except Exception as error:  # hiredis raises various ones, for example for a map in the place of a key
            raise redis.InvalidResponse(f"a reply that can't be read: {type(error).__name__}") from error
        if unlike is not None:
            raise redis.InvalidResponse(f"not a reply to {unlike[0]!s}")
        return replies

    def read_from_socket(self, *_: Any, **__: Any) -> bool:
        """Wait for a piece of the replies, and feed it to hiredis. redis-py calls it in the handshake."""
        buffer = self._buffer
        if self._received:
            size = self._receive_more()
        else:
            size = self._received = self._receive_first()
        if not size:
            raise redis.ConnectionError("the server has closed the connection")
        self._reader.feed(buffer, 0, size)
        return True

    def is_stale(self) -> bool:
        """Return whether the server has closed this idle connection, or sent something unexpected.

        Asks the kernel, for 1.4 us (1.7 under gevent); a peek costs 1.9 (3.0). redis-py's own `can_read` polls, which
        costs 15 us under gevent, where it does not notice the end of a TLS connection: gevent's poll has no POLLRDHUP.
        """
        sock = self._sock
        if sock is None or self._reader.has_data():
            return True
        try:
            # TLS itself may have sent something.
            if not self._is_tls and fcntl.ioctl(sock, termios.FIONREAD, _NO_BYTES) != _NO_BYTES:
                return True
            return bool(sock.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, 1) != _ESTABLISHED)
        except OSError:  # a Unix socket, or a system without TCP_INFO
            return self._has_tls_ended() if self._is_tls else _has_ended(sock)
        except ValueError:
            return True

    def _has_tls_ended(self) -> bool:
        try:
            self.can_read(0)
        except (redis.RedisError, OSError, ValueError):
            return True
        return False

    def _receive_first(self) -> int:
        """Receive the first piece of the replies, which usually has all of them. Return its size."""
        sock = self._sock
        if sock is None:
            raise redis.ConnectionError("the connection is closed")
        size: int = receive(sock, self._buffer, self._socket_timeout) if self._is_tls else sock.recv_into(self._buffer)
        if self._buffer.find(b"*", 0, size) >= 0 or self._buffer.find(b">", 0, size) >= 0:  # perhaps an array
            self._lengths = _Lengths(self._most)
            self._lengths.check(bytes(self._buffer[:size]))
        else:
            self._lengths, self._unchecked = None, size
        return size

    def _receive_more(self) -> int:
        """Receive a further piece, and return its size."""
        if self._lengths is None:
            self._lengths = _Lengths(self._most)
            self._lengths.check(bytes(self._buffer[: self._unchecked]))
        size = receive(self._sock, self._buffer, self._started + self._socket_timeout - time.monotonic())
        self._received += size
        if self._received > self._most:
            raise redis.InvalidResponse(f"replies of more than {self._most} bytes")
        self._lengths.check(bytes(self._buffer[:size]))
        return size

    @classmethod
    def parse_error(cls, response: str) -> Exception:
        """Return the error with a text of bounded length, and without the arguments of the command."""
        text = response.partition(", with args beginning with")[0][:_ERROR_LENGTH]
        return super().parse_error("".join(each if each.isprintable() else "?" for each in text))  # type: ignore[no-any-return]


class _Lengths:
    """The lengths that a server announces, piece by piece."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._skip = 0
        """Bytes of a string that are still to come."""
        self._line = b""
        """The begin of an announcement."""

    def check(self, piece: bytes) -> None:
        """Raise `InvalidResponse` for a length that the bound does not allow."""
        data, at = self._line + piece, self._skip
        while (end := data.find(b"\r\n", at)) >= 0:
            kind, length = data[at : at + 1], data[at + 1 : end]
            at = end + 2
            if kind in _STRINGS:
                self._check_size(int(length))
                at += max(int(length), -2) + 2
            elif kind in _ARRAYS:
                self._check_size(int(length) * _MIN_ELEMENT)
        self._skip, self._line = max(at - len(data), 0), data[at:]
        if len(self._line) > _LINE:
            raise redis.InvalidResponse(f"a line of more than {_LINE} bytes")

    def _check_size(self, size: int) -> None:
        if size > self._most:
            raise redis.InvalidResponse(f"replies of more than {self._most} bytes")


def exchange(connection: Any, commands: Commands, marked: bool = True) -> list[Any]:
    """Return the replies to `commands`, an error of the server as a `ResponseError`.

    A connection without earlier exchanges can do without a mark, where the user may not send PING.
    """
    parser = connection._parser
    # hiredis itself packs in a sixth of the time that the connection's own method takes.
    packets = [hiredis.pack_command(command) for command in commands]  # type: ignore[arg-type]
    try:
        mark = parser.send(packets, marked)
        return parser.read(commands, mark)  # type: ignore[no-any-return]
    except TimeoutError:
        raise redis.TimeoutError(f"no reply within {connection.socket_timeout:g} s") from None


def _has_ended(sock: socket.socket) -> bool:
    """Return whether a peek into the socket's buffer finds its end, or bytes."""
    timeout = sock.gettimeout()
    try:
        sock.settimeout(0)
        sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except (OSError, ValueError):
        pass
    finally:
        sock.settimeout(timeout)
    return True


def _to_response_error(reply: Any) -> Any:
    """Return an error of the server as a `ResponseError`, other replies as they are. Raise for a lost connection."""
    if isinstance(reply, redis.BusyLoadingError):  # redis-py takes it for a lost connection
        return redis.ResponseError(f"LOADING {reply}")
    if isinstance(reply, redis.ConnectionError):
        raise reply
    return reply


def _check_refused(replies: Sequence[Any]) -> None:
    """Raise `ConnectionError` for replies without the mark, unless the server refused all, as while it is LOADING."""
    if not all(isinstance(reply, redis.ResponseError) for reply in replies):
        refused = f": {replies[-1]}" if isinstance(replies[-1], redis.ResponseError) else ""
        raise redis.ConnectionError(f"the replies are not those to these commands{refused}")
