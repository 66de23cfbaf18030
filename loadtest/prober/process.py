"""The prober's process: `python -m loadtest.prober.process` sends requests at a fixed rate, as one line on stdin says.

Open loop: each probe is sent when it is due, over a connection of its own, whatever became of those before it. A load
generator that waits for its answers waits with its victim, and understates every outage.

It ends when stdin ends (whoever started it is gone, or has had enough), and at the latest after its time limit.
`loadtest.prober` is the other end of the pipes.
"""

import asyncio
import contextlib
import os
import ssl
import sys
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

from loadtest.history import Probe, now
from loadtest.ledger import Outcome


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What is probed: GET `url`, with this Cookie header if any. `name` is what the history calls it."""

    name: str
    url: str
    cookie: str = ""


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """`interval` seconds between two probes of one target; one without an answer for `timeout` seconds is unknown."""

    targets: tuple[Target, ...]
    interval: float
    timeout: float
    time_limit: float


class Answer(msgspec.Struct, frozen=True):
    status: int
    node: str


class NotHttp(Exception):
    """What came back is no whole HTTP answer."""


async def ask(target: Target) -> Answer:
    """One request over a new connection, and the whole answer to it. Raises OSError, NotHttp."""
    url = urlsplit(target.url)
    context = any_certificate() if url.scheme == "https" else None
    reader, writer = await asyncio.open_connection(url.hostname, url.port or (443 if context else 80), ssl=context)
    try:
        path = f"{url.path or '/'}{'?' + url.query if url.query else ''}"
        lines = [f"GET {path} HTTP/1.1", f"Host: {url.netloc}", "Accept: application/json", "Connection: close"]
        if target.cookie:
            lines.append(f"Cookie: {target.cookie}")
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        return parse(await reader.read(-1))
    finally:
        writer.transport.abort()


def parse(answer: bytes) -> Answer:
    """The status, and which node it is from. Raises NotHttp if anything is missing."""
    head, separator, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split(" ", 2)
    if not separator or len(words) < 2 or not words[0].startswith("HTTP/") or not words[1].isdecimal():
        raise NotHttp("no HTTP answer" if answer else "the connection was closed without an answer")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = headers.get("content-length", "")
    whole = body.endswith(b"0\r\n\r\n") if "transfer-encoding" in headers else len(body) >= int(length or 0)
    if not whole:
        raise NotHttp("the answer stops early")
    return Answer(int(words[1]), headers.get("x-served-by", ""))


def any_certificate() -> ssl.SSLContext:
    """TLS with whoever answers."""
    # Like the load generator: a cluster of a test has a certificate that nobody knows.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def probe(target: Target, due: float, timeout: float) -> Probe:
    """Send one and say how it went. Only 200 is ok; refused or another status is a failure, no answer is unknown."""
    started = now()
    outcome, status, node, error = Outcome.UNKNOWN, 0, "", ""
    try:
        async with asyncio.timeout(timeout):
            answer = await ask(target)
        status, node = answer.status, answer.node
        outcome = Outcome.OK if status == 200 else Outcome.FAIL
        error = "" if status == 200 else f"status {status}"
    except TimeoutError:
        error = f"no answer within {timeout:g} s"
    except ConnectionRefusedError:
        outcome, error = Outcome.FAIL, "ConnectionRefusedError"
    except (OSError, NotHttp) as failure:
        error = str(failure) if isinstance(failure, NotHttp) else type(failure).__name__
    return Probe(
        target=target.name,
        started=round(started, 6),
        ended=round(now(), 6),
        outcome=outcome,
        status=status,
        node=node,
        error=error,
        late=max(round(started - due, 3), 0.0),
    )


async def watch(targets: Sequence[Target], orders: Orders, stopped: asyncio.Event) -> None:
    """Probe all targets, each at its own moment of the interval, until told to stop; then await what is in flight."""
    loop = asyncio.get_running_loop()
    running: set[asyncio.Task[None]] = set()
    begin, epoch = loop.time(), now() - loop.time()
    tick = 0
    while not stopped.is_set():
        target = targets[tick % len(targets)]
        due = begin + tick * orders.interval / len(targets)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(due):
                await stopped.wait()
                break
        task = asyncio.create_task(_report(target, due + epoch, orders.timeout))
        running.add(task)
        task.add_done_callback(running.discard)
        tick += 1
    if running:
        await asyncio.wait(running)


async def _report(target: Target, due: float, timeout: float) -> None:
    say(await probe(target, due, timeout))


def say(message: Any) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(message) + b"\n")
    sys.stdout.buffer.flush()


async def run(orders: Orders) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin.fileno(), _heard, loop, stopped)
    loop.call_later(orders.time_limit, stopped.set)
    say("ready")
    await watch(orders.targets, orders, stopped)


def _heard(loop: asyncio.AbstractEventLoop, stopped: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 1024):
        loop.remove_reader(sys.stdin.fileno())
        stopped.set()


def _first_line() -> bytes:
    """Unbuffered, so that nothing of what follows is taken along."""
    with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as stdin:  # it has no path
        return stdin.readline()


def main() -> None:
    try:
        orders = msgspec.json.decode(_first_line(), type=Orders)
    except msgspec.DecodeError as error:
        sys.exit(f"not an order: {error}")
    try:
        asyncio.run(run(orders))
    except BrokenPipeError:
        sys.exit("nobody reads the probes any more")


if __name__ == "__main__":
    main()
