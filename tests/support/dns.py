"""A DNS server with one name, whose addresses change as when Docker scales a service."""

import socket
import struct
import threading


class Dns:
    """Answers every A query with `addresses` (RFC 1035), any other with none. A context manager."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.queries = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> "Dns":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # An empty datagram is the sign to end: closing a socket does not wake a thread that reads from it.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            query, client = self._socket.recvfrom(512)
            if not query:
                return
            self.queries += 1
            self._socket.sendto(self._answer(query), client)

    def _answer(self, query: bytes) -> bytes:
        end = query.index(b"\0", 12) + 5
        question = query[12:end]
        addresses = self.addresses if question.endswith(b"\0\1\0\1") else ()
        header = query[:2] + struct.pack("!5H", 0x8180, 1, len(addresses), 0, 0)
        # A pointer to the name in the question, type A, class IN, a lifetime of a second, four bytes.
        records = [struct.pack("!3HIH", 0xC00C, 1, 1, 1, 4) + socket.inet_aton(address) for address in addresses]
        return header + question + b"".join(records)
