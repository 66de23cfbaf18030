"""A TCP proxy that can be slow, silent or down: the network between the nodes and their store, broken on purpose.

Run as `python -S -E tcp_proxy.py TARGET LISTEN`, each host:port, where port 0 takes a free one. It writes {"port": N}
to stdout and then reads commands from stdin, one JSON object per line: {"mode": "up" | "blackhole" | "down", "latency":
seconds, "text": text, "answers": one of `ANSWERS`}. It answers each with {"mode": mode} as soon as the mode holds. It
ends at the end of stdin, so it never outlives the process that started it.

- up: bytes pass in both directions, answers `latency` seconds late. They arrive in order, and any number of them can be
  in flight: late, not slower.
- blackhole: connections stay and new ones are accepted, but nothing passes. Bytes sent meanwhile pass afterwards, like
  TCP's own retransmissions. With a `text`, only on connections whose client sent it first.
- down: connections are reset, new ones refused.

While it is up, it can answer badly, for a target that speaks Redis's protocol:

- drip: a byte each 0.15 s.
- twice: each answer two times. late: with the answer before, which has been sent already.
- half: the first half, then a reset. crossed: the answer to another connection.
- lengths: each string is announced with one byte more.
- flood: 400 MB come first. array: one of 400 million elements is announced.
- numbers, errors, nonsense: instead of the answer.
- any: each answer in another of these ways, or right.

`deploy.fault_proxy` is the other end of the pipes. Uses the standard library alone, so that it starts quickly.
"""

import asyncio
import contextlib
import itertools
import json
import random
import re
import socket
import struct
import sys
from collections.abc import Awaitable, Callable
from typing import Any

MOST_CONNECTIONS = 2048
MOST_LATENCY = 60.0
_CHUNK = 64 * 1024
_CHUNKS = 32
"""How many chunks of one direction may be in flight; a sender of more has to wait."""
ANSWERS = (
    "right",
    "drip",
    "twice",
    "late",
    "half",
    "crossed",
    "lengths",
    "flood",
    "array",
    "numbers",
    "errors",
    "nonsense",
)
ANY = "any"
_DRIP_SECONDS = 0.15
_FLOOD = 400 * 1024 * 1024
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER of 0 seconds: close() sends RST


class TcpProxy:
    """`port` is where it listens once `listen` has returned; the port does not change while the proxy is down."""

    def __init__(self, target: tuple[str, int], listen: tuple[str, int]) -> None:
        self._host, self.port = listen
        self.latency = 0.0
        self.answers = "right"
        self._each = itertools.cycle(ANSWERS)
        self._before = b""
        """The last answer of any connection."""
        self._target = target
        self._passing = asyncio.Event()
        self._passing.set()
        self._text = b""
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self) -> None:
        """Accept connections. Raises OSError if another process has taken the port meanwhile."""
        if self._server is None:
            self._server = await asyncio.start_server(
                self._accept, self._host, self.port, limit=_CHUNK, backlog=512, reuse_address=True
            )
            self.port = self._server.sockets[0].getsockname()[1]

    async def set_mode(self, mode: str, latency: float, text: bytes = b"", answers: str = "right") -> None:
        """Switch to `mode` with `latency` seconds and these answers. Raises ValueError for an unknown one."""
        if mode not in {"up", "blackhole", "down"}:
            raise ValueError(f"mode must be up, blackhole or down, not {mode!r}")
        if not 0 <= latency <= MOST_LATENCY:
            raise ValueError(f"latency must be between 0 and {MOST_LATENCY:g} seconds, not {latency!r}")
        if answers not in {*ANSWERS, ANY}:
            raise ValueError(f"answers must be one of {', '.join(ANSWERS)} or {ANY}, not {answers!r}")
        self.latency, self._text, self.answers = latency, text, answers
        if mode == "down":
            self.close()
        else:
            await self.listen()
        if mode == "blackhole":
            self._passing.clear()
        else:
            self._passing.set()

    def close(self) -> None:
        """Reset open connections and accept no new ones."""
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
            _reset(writer)  # The target refuses connections, and a reset is the closest equivalent at a proxy.
        finally:
            self._tasks.discard(task)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            if not self._text:
                await self._passing.wait()
            greeting = bytearray()
            target_reader, target = await asyncio.open_connection(*self._target, limit=_CHUNK)
            self._open.add(target)
            try:
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._forward(reader, target, greeting, lambda: 0.0, _write_all))
                    both.create_task(self._forward(target_reader, writer, greeting, lambda: self.latency, self._answer))
            except* OSError:
                _reset(writer)
            finally:
                self._open.discard(target)
                target.close()
        finally:
            self._open.discard(writer)
            writer.close()

    async def _answer(self, to: asyncio.StreamWriter, data: bytes) -> None:
        """Send an answer as `answers` says."""
        before, self._before = self._before, data
        asked = self.answers
        answers = next(self._each) if asked == ANY else asked
        if answers == "drip":
            while self.answers == asked and data:
                await _write_all(to, data[:1])
                data = data[1:]
                await asyncio.sleep(_DRIP_SECONDS)
        elif answers == "flood":
            await _write_all(to, b"$%d\r\n" % _FLOOD)
            for _ in range(_FLOOD // _CHUNK):
                await _write_all(to, b"x" * _CHUNK)
        elif answers == "half":
            await _write_all(to, data[: len(data) // 2])
            raise ConnectionResetError
        await _write_all(to, _tamper(answers, data, before))

    async def _may_pass(self, greeting: bytearray) -> None:
        if self._text in greeting:  # an empty text is in all
            await self._passing.wait()

    async def _forward(
        self,
        source: asyncio.StreamReader,
        to: asyncio.StreamWriter,
        greeting: bytearray,
        latency: Callable[[], float],
        write: Callable[[asyncio.StreamWriter, bytes], Awaitable[None]],
    ) -> None:
        """Copy one direction until its end, and pass the end on. `greeting` is the first chunk that the client sent."""
        clock = asyncio.get_running_loop().time
        in_flight: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_CHUNKS)

        async def deliver() -> None:
            while True:
                due, data = await in_flight.get()
                if (early := due - clock()) > 0:
                    await asyncio.sleep(early)
                await self._may_pass(greeting)
                if not data:
                    break
                await write(to, data)
            if to.can_write_eof():
                to.write_eof()

        async with asyncio.TaskGroup() as group:
            group.create_task(deliver())
            data = b"begin"
            while data:
                await self._may_pass(greeting)
                data = await source.read(_CHUNK)
                greeting += b"" if greeting else data  # the client speaks first
                await in_flight.put((clock() + latency(), data))


def _tamper(answers: str, data: bytes, before: bytes) -> bytes:
    match answers:
        case "twice":
            return data + data
        case "late":
            return before + data
        case "crossed":
            return before or data
        case "lengths":
            return re.sub(rb"\$(\d+)", lambda found: b"$%d" % (int(found[1]) + 1), data)
        case "array":
            return b"*400000000\r\n" + data
        case "numbers":
            return b":7\r\n" * 4
        case "errors":
            return b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n" * 4
        case "nonsense":
            return random.randbytes(len(data))  # noqa: S311 - no secret
        case _:
            return data


async def _write_all(to: asyncio.StreamWriter, data: bytes) -> None:
    to.write(data)
    await to.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()


def _write(**message: Any) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _parse_address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


async def _run(proxy: TcpProxy) -> None:
    await proxy.listen()
    _write(port=proxy.port)
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := await commands.readline():
        try:
            command = json.loads(line)
            text = command["text"].encode()
            await proxy.set_mode(command["mode"], command["latency"], text, command["answers"])
            _write(mode=command["mode"])
        except (OSError, ValueError, TypeError, KeyError) as error:
            _write(error=str(error))
    proxy.close()


if __name__ == "__main__":
    asyncio.run(_run(TcpProxy(_parse_address(sys.argv[1]), _parse_address(sys.argv[2]))))
