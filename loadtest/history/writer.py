"""Writes a history, so that it can be read up to the last flush even if the writer is killed."""

import heapq
import zlib
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from loadtest.history.events import End, Event, Header, Mark, Note, Op, Probe, when

# At zlib's default an operation costs the load generator 10 µs in all, and 9 at level 1, whose files are half as large
# again (python -m tests.loadtest.history.cost).
LEVEL = 6
GZIP = 31  # zlib's name for "with gzip's header and trailer"
FLUSH_BYTES = 256 * 1024


class Writer:
    """A context manager over one file, which it replaces. Not thread-safe; it never waits but for the disk.

    Left without an error, it writes the End. Left with one, it does not, and the file is truncated, as it is after
    the process was killed: what was written until the last `flush` can be read. Raises OSError.
    """

    def __init__(self, path: str | Path, header: Header) -> None:
        self._file = Path(path).open("wb", buffering=0)  # noqa: SIM115  # closed by `close`
        self._gzip = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP)
        self._encode = msgspec.json.Encoder().encode
        self._lines = bytearray()
        self._ops = self._probes = 0
        self._append(header)
        self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.flush()
            self._file.close()

    def write(self, event: Op | Probe | Mark | Note) -> None:
        """Add an event. It is in the file after the next `flush`, which comes by itself every 256 KB of text."""
        if isinstance(event, Op):
            self._ops += 1
        elif isinstance(event, Probe):
            self._probes += 1
        self._append(event)
        if len(self._lines) >= FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Hand all that was written to the operating system, readable from then on. Call it every second or so."""
        self._out(self._gzip.compress(self._lines) + self._gzip.flush(zlib.Z_SYNC_FLUSH))
        self._lines.clear()

    def close(self) -> None:
        """Write the End and close the file."""
        self._append(End(self._ops, self._probes))
        self._out(self._gzip.compress(self._lines) + self._gzip.flush())
        self._file.close()

    def _append(self, event: Event) -> None:
        self._lines += self._encode(event)
        self._lines += b"\n"

    def _out(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]


def assemble(path: str | Path, header: Header, *parts: Iterable[Event]) -> None:
    """One history of several parts, each in order of time: the operations of the load generator, probes, marks.

    Headers and Ends among the parts are left out. Raises OSError, and HistoryError where a part is read from a file.
    """
    with Writer(path, header) as writer:
        streams = ((event for event in part if not isinstance(event, Header | End)) for part in parts)
        for event in heapq.merge(*streams, key=when):
            writer.write(event)
