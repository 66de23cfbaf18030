"""A TCP proxy in front of a store, by which its answers arrive late."""

from __future__ import annotations

import socket
import threading
import time
from types import TracebackType


class Delaying:
    """Hands on what 127.0.0.1:`port` is sent; its answers after `seconds`, which may be changed while it runs."""

    def __init__(self, port: int) -> None:
        self.seconds = 0.0
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Delaying:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for each in [self._listener, *self._open]:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # It is gone already.
            finally:
                each.close()
        self._thread.join(timeout=10)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._to), timeout=10)
            except OSError:
                return
            self._open += [client, server]
            for source, to, late in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._pass_on, args=(source, to, late), daemon=True).start()

    def _pass_on(self, source: socket.socket, to: socket.socket, late: bool) -> None:
        try:
            source.settimeout(None)
            while data := source.recv(65536):
                if late:
                    time.sleep(self.seconds)
                to.sendall(data)
            to.shutdown(socket.SHUT_WR)
        except OSError:
            return  # One side hung up.
