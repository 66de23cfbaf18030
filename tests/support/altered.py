"""A network between a node and its Redis that alters one bit within the strings of each reply, and leaves its form."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.support.servers import tcp_server

_STRING = re.compile(rb"\$(\d+)\r\n")


class AlteredReplies:
    """Alters another bit in each reply: the first bit of the first string, then the next one. `url` is Redis's."""

    def __init__(self) -> None:
        self.url = ""
        self.every = 0
        """Which replies are altered: each n-th one; 0 for none."""
        self.advances = True
        """Whether the next reply gets another bit altered, or the same one."""
        self._replies = 0
        self._bit = 0

    def alter(self, reply: bytes) -> bytes:
        """Return the reply as it arrives. The last string is the mark of the exchange, and stays."""
        self._replies += 1
        places = [at for start, size in list(_strings(reply))[:-1] for at in range(start, start + size)]
        if not (self.every and places and self._replies % self.every == 0):
            return reply
        self._bit += self.advances
        altered = bytearray(reply)
        altered[places[self._bit // 8 % len(places)]] ^= 1 << self._bit % 8
        return bytes(altered)


def _strings(reply: bytes) -> Iterator[tuple[int, int]]:
    """Yield start and size of each string."""
    at = 0
    while match := _STRING.search(reply, at):
        yield match.end(), int(match[1])
        at = match.end() + int(match[1])


@contextmanager
def altered_replies(port: int) -> Iterator[AlteredReplies]:
    """Forward to the server on this port."""
    network = AlteredReplies()

    def serve(client: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", port)) as server:
            threading.Thread(target=_forward, args=(client, server), daemon=True).start()
            while reply := server.recv(65536):
                client.sendall(network.alter(reply))

    with tcp_server(serve) as listening:
        network.url = f"redis://127.0.0.1:{listening}/0"
        yield network


def _forward(client: socket.socket, server: socket.socket) -> None:
    with suppress(OSError):
        while request := client.recv(65536):
            server.sendall(request)
        server.shutdown(socket.SHUT_RDWR)
