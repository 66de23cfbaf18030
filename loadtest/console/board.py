"""The board: the newest snapshot and a numbered log, written by the director and the sampler, read by every page."""

import secrets
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from loadtest.console.messages import Message
from loadtest.history import now

MOST_ENTRIES = 500


class EntryKind(StrEnum):
    """The kind of a line of the log."""

    QUEUED = "queued"
    STARTED = "started"
    DONE = "done"
    FAILED = "failed"
    DROPPED = "dropped"
    """A command that was waiting when all faults were undone."""
    SEEN = "seen"
    """Something that happened by itself: a member ended, a user was found logged out."""


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A command as it is posted: {"do": "kill", "on": "node-2"}, {"do": "users", "to": "50"}."""

    do: str
    on: str = ""
    to: str = ""


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the log. `command` is the id of the command that it is about, `text` the message in English."""

    id: int
    at: float
    kind: EntryKind
    message: Message
    text: str
    command: int = 0
    order: Order | None = None
    reason: Message | None = None
    """Why a command failed."""
    seconds: float = 0.0


@dataclass
class Cursor:
    """The position of one reader."""

    entry: int = 0
    snapshot: int = 0


class Board:
    """Thread-safe, and nothing in it blocks. `boot` tells one run of the console from another."""

    def __init__(self) -> None:
        self.boot = secrets.token_hex(4)
        self._lock = threading.Lock()
        self._entries: deque[Entry] = deque(maxlen=MOST_ENTRIES)
        self._last = 0
        self._version = 0
        self._snapshot = b"null"
        self._encode = msgspec.json.Encoder().encode

    def publish(self, snapshot: Any) -> None:
        """Replace the snapshot."""
        encoded = self._encode(snapshot)
        with self._lock:
            self._snapshot = encoded
            self._version += 1

    def log(
        self,
        kind: EntryKind,
        message: Message,
        *,
        command: int = 0,
        order: Order | None = None,
        reason: Message | None = None,
        seconds: float = 0.0,
    ) -> Entry:
        """Add a line to the log, and return it."""
        with self._lock:
            self._last += 1
            entry = Entry(
                id=self._last,
                at=round(now(), 3),
                kind=kind,
                message=message,
                text=str(message) if reason is None else f"{message}: {reason}",
                command=command,
                order=order,
                reason=reason,
                seconds=round(seconds, 2),
            )
            self._entries.append(entry)
        return entry

    @property
    def snapshot(self) -> bytes:
        """The newest snapshot as JSON."""
        return self._snapshot

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The newest lines of the log, the oldest first."""
        with self._lock:
            return tuple(self._entries)

    def cursor(self, last_event_id: str) -> Cursor:
        """Return where a reader goes on whose last event had this id; an id of another run begins from the start."""
        boot, _, number = last_event_id.partition(".")
        return Cursor(int(number)) if boot == self.boot and number.isdecimal() else Cursor()

    def read(self, cursor: Cursor) -> Iterator[bytes]:
        """Yield what is new to a reader as server-sent events: lines of the log, then the newest snapshot."""
        with self._lock:
            entries = [entry for entry in self._entries if entry.id > cursor.entry]
            version, snapshot = self._version, self._snapshot
        for entry in entries:
            cursor.entry = entry.id
            yield b"id: %s.%d\nevent: log\ndata: %s\n\n" % (self.boot.encode(), entry.id, self._encode(entry))
        if version > cursor.snapshot:
            cursor.snapshot = version
            yield b"event: snapshot\ndata: %s\n\n" % snapshot
