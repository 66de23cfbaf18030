"""The prober's process: `python -m loadtest.prober.process` sends requests at a fixed rate.

Open loop: each probe is sent when it is due, over a connection of its own, also while earlier ones wait. A load
generator that waits for answers sends fewer requests during an outage, and understates it (coordinated omission).

One line on stdin has the endpoints. The process ends when stdin ends: its parent has ended, or stops it.
`loadtest.prober.client` is the other end of the pipes. This end imports little, since each load starts one.
"""

import asyncio
import contextlib
import os
import ssl
import sys
from collections.abc import Sequence
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import msgspec

from loadtest.history import OpOutcome, Probe, now

INTERVAL = 0.05
"""Seconds between two probes of one endpoint."""
TIMEOUT = 5.0
"""Seconds after which a probe without an answer is unknown."""


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A probed URL: GET `url`, with this Cookie header if any, and more `headers`. `name` is its name in the history.

    For https, `authority` is the certificate of the authority (None: those that the system trusts); `insecure` accepts
    any certificate.
    """

    name: str
    url: str
    cookie: str = ""
    headers: dict[str, str] = {}
    authority: str | None = None
    insecure: bool = False


class ProbeResponse(msgspec.Struct, frozen=True):
    status: int
    node: str


class NotHttp(Exception):
    """The answer is not HTTP, or not complete."""


async def ask(endpoint: Endpoint) -> ProbeResponse:
    """Send one request over a new connection, and return the whole response. Raises OSError, NotHttp."""
    url = urlsplit(endpoint.url)
    context = _make_context(endpoint.authority, endpoint.insecure) if url.scheme == "https" else None
    reader, writer = await asyncio.open_connection(url.hostname, url.port or (443 if context else 80), ssl=context)
    try:
        path = f"{url.path or '/'}{'?' + url.query if url.query else ''}"
        lines = [f"GET {path} HTTP/1.1", f"Host: {url.netloc}", "Connection: close"]
        lines += [f"{name}: {text}" for name, text in ({"Accept": "application/json"} | endpoint.headers).items()]
        if endpoint.cookie:
            lines.append(f"Cookie: {endpoint.cookie}")
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        return parse(await reader.read(-1))
    finally:
        writer.transport.abort()


@cache
def _make_context(authority: str | None, insecure: bool) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority)
    if insecure:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def parse(answer: bytes) -> ProbeResponse:
    """Return the status and the node that answered. Raises NotHttp for an incomplete answer."""
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
    return ProbeResponse(int(words[1]), headers.get("x-served-by", ""))


async def probe(endpoint: Endpoint, due: float) -> Probe:
    """Send one probe. Only 200 is ok; refused or another status is a failure, no answer is unknown."""
    started = now()
    outcome, status, node, error = OpOutcome.UNKNOWN, 0, "", ""
    try:
        async with asyncio.timeout(TIMEOUT):
            answer = await ask(endpoint)
        status, node = answer.status, answer.node
        outcome = OpOutcome.OK if status == 200 else OpOutcome.FAIL
        error = "" if status == 200 else f"status {status}"
    except TimeoutError:
        error = f"no answer within {TIMEOUT:g} s"
    except ConnectionRefusedError:
        outcome, error = OpOutcome.FAIL, "ConnectionRefusedError"
    except (OSError, NotHttp) as failure:
        error = str(failure) if isinstance(failure, NotHttp) else type(failure).__name__
    return Probe(
        target=endpoint.name,
        started=round(started, 6),
        ended=round(now(), 6),
        outcome=outcome,
        status=status,
        node=node,
        error=error,
        late=max(round(started - due, 3), 0.0),
    )


async def watch(endpoints: Sequence[Endpoint], stopped: asyncio.Event) -> None:
    """Probe all endpoints, each at its own moment of the interval, until `stopped`; then wait for probes in flight."""
    loop = asyncio.get_running_loop()
    running: set[asyncio.Task[None]] = set()
    begin, epoch = loop.time(), now() - loop.time()
    tick = 0
    while not stopped.is_set():
        endpoint = endpoints[tick % len(endpoints)]
        due = begin + tick * INTERVAL / len(endpoints)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(due):
                await stopped.wait()
                break
        task = asyncio.create_task(_report(endpoint, due + epoch))
        running.add(task)
        task.add_done_callback(running.discard)
        tick += 1
    if running:
        await asyncio.wait(running)


async def _report(endpoint: Endpoint, due: float) -> None:
    write(await probe(endpoint, due))


def write(message: Any) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(message) + b"\n")
    sys.stdout.buffer.flush()


async def run(endpoints: Sequence[Endpoint]) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin.fileno(), _end_with_stdin, loop, stopped)
    write("ready")
    await watch(endpoints, stopped)


def _end_with_stdin(loop: asyncio.AbstractEventLoop, stopped: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 1024):
        loop.remove_reader(sys.stdin.fileno())
        stopped.set()


def _first_line() -> bytes:
    """Read one line unbuffered, so that the rest stays readable at the descriptor."""
    with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as stdin:  # it has no path
        return stdin.readline()


def main() -> None:
    asyncio.run(run(msgspec.json.decode(_first_line(), type=tuple[Endpoint, ...])))


if __name__ == "__main__":
    main()
