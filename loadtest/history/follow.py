"""Read parts of a history, also while their writers are at work."""

import heapq
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from loadtest.history.clock import now
from loadtest.history.events import End, Event, Header, Mark, Note, Op, Probe, when
from loadtest.history.reader import CHUNK, HistoryError, Truncated

LATENESS = 2.0
"""Seconds. Writers flush at least every half second; the rest is for a busy machine."""

_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def read_part(path: str | Path, *, partial: bool = False) -> Iterator[Event]:
    """Yield the events of a part, without its End. Raises HistoryError; Truncated if it has none, unless `partial`."""
    part = _Part(Path(path))
    yield from part.read()
    if not part.ended and not partial:
        raise Truncated(f"{path}: truncated after {part.count} events")


class Follower:
    """Reads parts while they grow, and merges them in order of time.

    An event is held back until it is `lateness` seconds old, since another process may still have an older one to
    flush. A later event is returned at once, out of order.
    """

    def __init__(self, *paths: str | Path, lateness: float = LATENESS, clock: Callable[[], float] = now) -> None:
        self._parts = [_Part(Path(path)) for path in paths]
        self._lateness, self._clock = lateness, clock
        self._held: list[tuple[float, int, Op | Probe | Mark | Note]] = []
        self._count = 0

    def poll(self) -> list[Event]:
        """Return new events, in order of time. Raises HistoryError; a part that does not exist yet is empty."""
        self._read()
        limit = self._clock() - self._lateness
        return self._release(limit)

    def finish(self) -> list[Event]:
        """Return the rest, once the writers have ended."""
        self._read()
        return self._release(float("inf"))

    def _read(self) -> None:
        for part in self._parts:
            for event in part.read():
                self._count += 1
                heapq.heappush(self._held, (when(event), self._count, event))

    def _release(self, limit: float) -> list[Event]:
        result: list[Event] = []
        while self._held and self._held[0][0] <= limit:
            result.append(heapq.heappop(self._held)[2])
        return result


def follow(*paths: str | Path, lateness: float = LATENESS) -> Follower:
    """Follow the parts at these paths, which need not exist yet."""
    return Follower(*paths, lateness=lateness)


class _Part:
    """One file, as far as it has been read."""

    def __init__(self, path: Path) -> None:
        self.ended = False
        self.count = 0
        self._path = path
        self._position = 0
        self._rest = b""

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

    def _events(self, data: bytes) -> Iterator[Op | Probe | Mark | Note]:
        self._position += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self.count += 1
            try:
                event = _decoder.decode(line)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise HistoryError(f"{self._path}: line {self.count}: {error}") from error
            if isinstance(event, End):
                self.ended = True
            elif not isinstance(event, Header):
                yield event
