"""Read histories, and their parts while they grow. An error about a damaged file is one line."""

import ctypes
import os
import sys
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from loadtest.history.events import VERSION, End, Event, Header, Mark, Note, Op, Probe, when
from loadtest.history.writer import GZIP

CHUNK = 256 * 1024
# A file of another kind may have no line ends at all; the longest line of an operation has a few KB.
MAX_LINE = 1024 * 1024
_KEEP_SIZE, _PUNCH_HOLE = 0x01, 0x02  # linux/falloc.h
_WORTH_FORGETTING = 1024 * 1024
"""Bytes that have been read since the last time."""

_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_REPEATED = ("who", "account", "session", "item", "method", "path", "node", "upstream", "upstream_status", "error")
"""Fields of operations with texts that many operations share."""


class HistoryError(Exception):
    """The file cannot be read as a history; the message is one line that names the file, the line and the reason."""


class Truncated(HistoryError):
    """The history has a beginning and no end: its writer was killed, or the file was cut off."""


class _HistoryVersion(msgspec.Struct, tag_field="is", tag="history"):
    version: int


def read(path: str | Path, *, partial: bool = False) -> Iterator[Event]:
    """Yield the events, from the Header to the End, in the order of the file. Raises HistoryError.

    With `partial`, a truncated file is not an error: its events end without an End. A damaged file, one of another
    kind and one of a newer version always are errors. Memory: one chunk of the file at a time.
    """
    name = str(path)
    ops = probes = 0
    end: End | None = None
    number, whole = 0, True
    try:
        for number, line in enumerate(_lines(Path(path)), 1):
            event = _event(name, number, line)
            if end is not None:
                raise HistoryError(f"{name}: line {number}: data after the end")
            if (number == 1) is not isinstance(event, Header):
                raise HistoryError(f"{name}: line {number}: {'a second header' if number > 1 else _foreign(line)}")
            ops += isinstance(event, Op)
            probes += isinstance(event, Probe)
            if isinstance(event, End):
                end = event
                if (end.ops, end.probes) != (ops, probes):
                    raise HistoryError(
                        f"{name}: line {number}: the end counts {end.ops} operations and {end.probes} probes, "
                        f"but the file holds {ops} and {probes}"
                    )
            yield event
    except _CutOff:
        whole = False
    except OSError as error:
        raise HistoryError(f"{name}: cannot be read: {error.strerror}") from error
    except zlib.error as error:
        what = f"damaged after line {number}" if number else "not a history in gzip's format"
        raise HistoryError(f"{name}: {what}: {error}") from error
    if number == 0:
        raise HistoryError(f"{name}: not a history: the file has no lines")
    if (end is None or not whole) and not partial:
        raise Truncated(f"{name}: truncated after {ops} operations and {probes} probes (line {number})")


class _CutOff(Exception):
    """The compressed data, or its last line, stops early."""


def _lines(path: Path) -> Iterator[bytes]:
    """Yield complete lines. Raises _CutOff where the file stops too early, and zlib.error where it is damaged."""
    gzip = zlib.decompressobj(GZIP)
    rest = b""
    with path.open("rb") as file:
        while not gzip.eof and (data := file.read(CHUNK)):
            while data and not gzip.eof:
                text = rest + gzip.decompress(data, MAX_LINE)
                data = gzip.unconsumed_tail
                *lines, rest = text.split(b"\n")
                yield from lines
                if len(rest) > MAX_LINE:
                    raise zlib.error(f"a line of more than {MAX_LINE} bytes")
        if gzip.unused_data or file.read(1):
            raise zlib.error("data after the end of the compressed data")
    if not gzip.eof or rest:
        raise _CutOff


def _event(name: str, number: int, line: bytes) -> Event:
    try:
        if number == 1:
            _check_header(name, line)
        return _decoder.decode(line)
    except msgspec.MsgspecError as error:
        if number == 1:
            raise HistoryError(f"{name}: line 1: {_foreign(line)}") from error
        raise HistoryError(f"{name}: line {number}: {error}") from error
    except UnicodeDecodeError as error:
        raise HistoryError(f"{name}: line {number}: not UTF-8") from error


def _share_texts(op: Op) -> None:
    """Keep each text once for all operations: with texts of its own, an operation takes twice the memory."""
    for name in _REPEATED:
        msgspec.structs.force_setattr(op, name, sys.intern(getattr(op, name)))


def _check_header(name: str, line: bytes) -> None:
    version = msgspec.json.decode(line, type=_HistoryVersion).version
    if version > VERSION:
        raise HistoryError(f"{name}: version must be at most {VERSION}, not {version}; use the program that wrote it")
    if version < 1:
        raise HistoryError(f"{name}: line 1: version must be at least 1, not {version}")


def _foreign(line: bytes) -> str:
    shown = line[:40].decode(errors="replace")
    return f'not a history: the first line must begin with {{"is":"history",…}} , not {shown!r}'


Kind = TypeVar("Kind", Op, Probe)


@dataclass(frozen=True)
class EventsOf(Generic[Kind]):
    """The events of one kind in a history. They are read from its file each time, so memory does not grow with their
    number. Raises HistoryError, also where only the end of the history was kept, unless that `end_will_do`."""

    path: Path
    kind: type[Kind]
    end_will_do: bool = False

    def __iter__(self) -> Iterator[Kind]:
        for event in read(self.path):
            if isinstance(event, Header) and event.since is not None and not self.end_will_do:
                raise HistoryError(f"{self.path}: only the end of the history was kept")
            if isinstance(event, self.kind):
                yield event


def read_part(path: str | Path, begin: int = 0) -> Iterator[Op | Probe | Mark | Note]:
    """Yield the events of a part, without its End. Raises HistoryError; Truncated if it has none.

    `begin` is a position in the file, from which on the first line that is whole is the first one.
    """
    part = _Part(Path(path), begin)
    yield from part.read()
    if not part.ended:
        raise Truncated(f"{path}: truncated after {part.count} events")


class Follower:
    """Reads parts while they grow. A part that does not exist yet is empty."""

    def __init__(self, *paths: str | Path) -> None:
        self._parts = [_Part(Path(path)) for path in paths]

    def poll(self) -> list[Op | Probe | Mark | Note]:
        """Return the new events, in order of time. The next call may return older ones: each writer flushes on its own.

        Raises HistoryError.
        """
        return sorted((event for part in self._parts for event in part.read()), key=when)

    def forget(self, keep: int = 0) -> None:
        """Give the disk space of what was read back, but of the last `keep` bytes of each part: nobody can read it
        again."""
        for part in self._parts:
            part.forget(keep)

    def kept(self) -> tuple[float | None, list[Iterator[Op | Probe | Mark | Note]]]:
        """Return the events of the parts, which have ended, from the time on since when all parts have theirs; None if
        that is all of them. Raises HistoryError, also while they are read."""
        starts = [start for part in self._parts if (start := part.starts()) is not None]
        since = max(starts, default=None)
        return since, [part.since(since) for part in self._parts]


class _Part:
    """One file, as far as it has been read."""

    def __init__(self, path: Path, begin: int = 0) -> None:
        self.ended = False
        self.count = 0
        self._path = path
        self._position = begin
        self._forgotten = 0
        self._rest = b""
        self._is_within_line = begin > 0

    def read(self) -> Iterator[Op | Probe | Mark | Note]:
        """Yield the events of the lines that are complete by now."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._position)
                while data := file.read(CHUNK):
                    yield from self._events(data)
        except FileNotFoundError:
            return
        except OSError as error:
            raise HistoryError(f"{self._path}: cannot be read: {error.strerror}") from error

    def forget(self, keep: int) -> None:
        end = self._position - keep
        if end >= self._forgotten + _WORTH_FORGETTING:
            _free_beginning(self._path, end)
            self._forgotten = end

    def starts(self) -> float | None:
        """Return when the first event that is kept became known; None if all are kept."""
        first = next(read_part(self._path, self._forgotten), None) if self._forgotten else None
        return None if first is None else when(first)

    def since(self, time: float | None) -> Iterator[Op | Probe | Mark | Note]:
        """Yield what became known at that time or later; with None all events."""
        return (event for event in read_part(self._path, self._forgotten) if time is None or when(event) >= time)

    def _events(self, data: bytes) -> Iterator[Op | Probe | Mark | Note]:
        self._position += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        if self._is_within_line and lines:
            del lines[0]
            self._is_within_line = False
        for line in lines:
            self.count += 1
            try:
                event = _decoder.decode(line)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise HistoryError(f"{self._path}: line {self.count}: {error}") from error
            if isinstance(event, End):
                self.ended = True
            elif not isinstance(event, Header):
                if isinstance(event, Op):
                    _share_texts(event)
                yield event


def _free_beginning(path: Path, end: int) -> None:
    """Give the disk blocks of the first `end` bytes back; they read as zeros from now on, and the size stays.

    Truncating would lose what is written at that moment. Does nothing where the system or the file system can't do it,
    or the file is gone.
    """
    with suppress(OSError, AttributeError):  # AttributeError: not Linux
        descriptor = os.open(path, os.O_WRONLY)
        try:
            start, length = ctypes.c_int64(0), ctypes.c_int64(end)
            ctypes.CDLL(None).fallocate(descriptor, _KEEP_SIZE | _PUNCH_HOLE, start, length)
        finally:
            os.close(descriptor)
