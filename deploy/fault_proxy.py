"""A TCP proxy that can be slow, silent or gone: the network between the nodes and their store, to be broken on purpose.

Run as `python -S -E fault_proxy.py TARGET LISTEN`, each host:port, where port 0 takes a free one. It says {"port": N}
on stdout, and then obeys stdin, one JSON object per line: {"state": "open" | "silent" | "cut", "latency": seconds}.
Each is answered, once it is so, with {"is": state}. The end of stdin ends it, so it never outlives whoever started it.

- open: bytes pass in both directions, answers `latency` seconds late. Late, not slower: they overtake nobody, and any
  number of them can be on their way.
- silent: connections stay and new ones are accepted, but nothing passes. What was sent meanwhile passes afterwards, as
  TCP's own repetitions would bring it.
- cut: connections are reset, new ones refused.

`deploy.link` is the other end of the pipes. Uses the standard library alone, as it has to start quickly.
"""

import asyncio
import contextlib
import json
import socket
import struct
import sys
from collections.abc import Callable
from typing import Any

MOST_CONNECTIONS = 2048
MOST_LATENCY = 60.0
_CHUNK = 64 * 1024
_CHUNKS = 32
"""How many chunks of one direction may be on their way; whoever sends more has to wait."""
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER of 0 seconds: close() sends RST


class FaultProxy:
    """`port` is where it listens, once `listen` has returned; it stays the same through all cuts."""

    def __init__(self, target: tuple[str, int], listen: tuple[str, int]) -> None:
        self._host, self.port = listen
        self.latency = 0.0
        self._target = target
        self._passing = asyncio.Event()
        self._passing.set()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self) -> None:
        """Raises OSError where the port of before has gone to somebody else."""
        if self._server is None:
            self._server = await asyncio.start_server(
                self._accept, self._host, self.port, limit=_CHUNK, backlog=512, reuse_address=True
            )
            self.port = self._server.sockets[0].getsockname()[1]

    async def turn(self, state: str, latency: float) -> None:
        """Be so from now on. ValueError for what cannot be."""
        if state not in {"open", "silent", "cut"}:
            raise ValueError(f"state {state!r} cannot be: open, silent or cut")
        if not 0 <= latency <= MOST_LATENCY:
            raise ValueError(f"latency {latency!r} cannot be: 0 to {MOST_LATENCY:g} seconds")
        self.latency = latency
        if state == "cut":
            self.cut()
        else:
            await self.listen()
        if state == "silent":
            self._passing.clear()
        else:
            self._passing.set()

    def cut(self) -> None:
        """Reset what is open, accept nothing."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in self._tasks:
            task.cancel()
        for writer in self._open:
            _reset(writer)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= MOST_CONNECTIONS or self._server is None:
            _reset(writer)
            return
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._connect(reader, writer)
        except (OSError, asyncio.CancelledError):
            _reset(writer)  # A target that refuses is refused here as well: as near to it as a proxy can come.
        finally:
            self._tasks.discard(task)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            await self._passing.wait()
            target_reader, target = await asyncio.open_connection(*self._target, limit=_CHUNK)
            self._open.add(target)
            try:
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._pass_on(reader, target, lambda: 0.0))
                    both.create_task(self._pass_on(target_reader, writer, lambda: self.latency))
            except* OSError:
                _reset(writer)
            finally:
                self._open.discard(target)
                target.close()
        finally:
            self._open.discard(writer)
            writer.close()

    async def _pass_on(
        self, source: asyncio.StreamReader, to: asyncio.StreamWriter, latency: Callable[[], float]
    ) -> None:
        """One direction, until its end, which is passed on as well."""
        clock = asyncio.get_running_loop().time
        on_their_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_CHUNKS)

        async def deliver() -> None:
            while True:
                due, data = await on_their_way.get()
                if (early := due - clock()) > 0:
                    await asyncio.sleep(early)
                await self._passing.wait()
                if not data:
                    break
                to.write(data)
                await to.drain()
            if to.can_write_eof():
                to.write_eof()

        async with asyncio.TaskGroup() as group:
            group.create_task(deliver())
            data = b"begin"
            while data:
                await self._passing.wait()
                data = await source.read(_CHUNK)
                await on_their_way.put((clock() + latency(), data))


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()


def _say(**message: Any) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _place(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


async def _obey(proxy: FaultProxy) -> None:
    await proxy.listen()
    _say(port=proxy.port)
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := await commands.readline():
        try:
            command = json.loads(line)
            await proxy.turn(command["state"], command["latency"])
            _say(**{"is": command["state"]})
        except (OSError, ValueError, TypeError, KeyError) as error:
            _say(error=str(error))
    proxy.cut()


if __name__ == "__main__":
    asyncio.run(_obey(FaultProxy(_place(sys.argv[1]), _place(sys.argv[2]))))
