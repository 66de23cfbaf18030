"""Write histories and their parts. They are readable up to the last flush even if the writer is killed."""

import heapq
import zlib
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from loadtest.history.events import End, Event, Header, Mark, Note, Op, Probe, when

# Level 1 saves 1 of 10 µs for each operation, but its files are larger by half (python -m loadtest.bench.history_cost).
LEVEL = 6
GZIP = 31  # zlib's name for "with gzip's header and trailer"
FLUSH_BYTES = 256 * 1024


class PartWriter:
    """A context manager over the part of one process: plain JSON lines. Raises OSError. Not thread-safe.

    Call `flush` at least every half second: what is not flushed, no `Follower` sees. Left without an error, it writes
    the End. Left with an error, or killed, it leaves a truncated file that is readable up to the last `flush`.
    """

    def __init__(self, path: str | Path) -> None:
        self._file = Path(path).open("wb", buffering=0)  # noqa: SIM115  # closed by `close`
        self._encode = msgspec.json.Encoder().encode
        self._lines = bytearray()
        self._ops = self._probes = 0

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
        """Pass everything written so far to the operating system; other processes can read it then."""
        self._out(last=False)

    def close(self) -> None:
        """Write the End and close the file."""
        self._append(End(self._ops, self._probes))
        self._out(last=True)
        self._file.close()

    def _append(self, event: Event) -> None:
        self._lines += self._encode(event)
        self._lines += b"\n"

    def _out(self, *, last: bool) -> None:
        view = memoryview(self._pack(bytes(self._lines), last))
        self._lines.clear()
        while view:
            view = view[self._file.write(view) :]

    def _pack(self, lines: bytes, _last: bool) -> bytes:
        return lines


class Writer(PartWriter):
    """A context manager over one whole history, which it replaces: as for a part, with a Header and compressed."""

    def __init__(self, path: str | Path, header: Header) -> None:
        super().__init__(path)
        self._gzip = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP)
        self._append(header)
        self.flush()

    def _pack(self, lines: bytes, last: bool) -> bytes:
        return self._gzip.compress(lines) + (self._gzip.flush() if last else self._gzip.flush(zlib.Z_SYNC_FLUSH))


def assemble(path: str | Path, header: Header, *parts: Iterable[Event]) -> None:
    """Write one history of several parts, each in order of time: operations of the load generator, probes, marks.

    A part is a history (`read`), the file of a PartWriter (`read_part`) or any events; Headers and Ends among them are
    left out. Raises OSError, and HistoryError where a part is read from a file.
    """
    with Writer(path, header) as writer:
        streams = ((event for event in part if not isinstance(event, Header | End)) for part in parts)
        for event in heapq.merge(*streams, key=when):
            writer.write(event)
