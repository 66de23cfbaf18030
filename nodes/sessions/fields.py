"""The fields of one session during one request: their values, the bytes behind them, and which of them changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .codec import Codec
from .store import Changes, SessionTooLarge, size_of

_UNCHANGEABLE = (str, int, float, bytes, type(None))
_NOTHING = Changes()


class Fields:
    """Values by key. What is handed out is remembered as the bytes it came from, so that a change inside it shows."""

    def __init__(self, codec: Codec, max_bytes: int) -> None:
        self.codec = codec
        self.max_bytes = max_bytes
        self.stored: dict[str, bytes] = {}
        """What the store is known to hold."""
        self.values: dict[str, Any] = {}
        self._handed_out: dict[str, bytes] = {}
        self._assigned: dict[str, bytes] = {}
        self._deleted: set[str] = set()

    def read(self, stored: Mapping[str, bytes]) -> None:
        """Takes in what the store holds, keeping what this request did. `DecodeError` where a value is damaged."""
        values = {key: self.codec.decode(data) for key, data in stored.items() if key not in self._deleted}
        kept = {key: value for key, value in self.values.items() if key in self._handed_out or key in self._assigned}
        self.stored = dict(stored)
        self.values = values | kept

    def assigned(self, key: str) -> bool:
        """Whether this request assigned the key, so that its value is known without a read."""
        return key in self._assigned

    def get(self, key: str) -> Any:
        """The value to hand out; KeyError where there is none."""
        value = self.values[key]
        if key in self.stored and not isinstance(value, _UNCHANGEABLE):
            self._handed_out.setdefault(key, self.stored[key])
        return value

    def assign(self, key: str, value: Any) -> None:
        """TypeError for what can't be stored, `SessionTooLarge` for what would not fit."""
        data = self.encode(key, value)
        self.check_size({**self.stored, **self._assigned, key: data}, without=self._deleted - {key})
        self.values[key] = value
        self._assigned[key] = data
        self._deleted.discard(key)

    def delete(self, key: str) -> None:
        """KeyError where there is none."""
        del self.values[key]
        self._assigned.pop(key, None)
        self._handed_out.pop(key, None)
        if key in self.stored:
            self._deleted.add(key)

    def pending(self) -> Changes:
        """What this request changed and has not saved."""
        if not (self._assigned or self._handed_out or self._deleted):
            return _NOTHING
        now = {key: self.encode(key, self.values[key]) for key in self._assigned.keys() | self._handed_out.keys()}
        changed = {key: data for key, data in now.items() if data != self._base(key)}
        return Changes(set=changed, delete=frozenset(self._deleted), max_bytes=self.max_bytes)

    def _base(self, key: str) -> bytes | None:
        return self.stored.get(key) if key in self._assigned else self._handed_out[key]

    def saved(self, changes: Changes) -> None:
        """These changes are in the store now."""
        self.stored = changes.applied_to(self.stored)
        self._handed_out.update(changes.set)
        for key in changes.set:
            self._assigned.pop(key, None)
        self._deleted -= changes.delete

    def replaced(self, stored: Mapping[str, bytes]) -> None:
        """The store holds exactly this now; objects that were handed out and still match it stay the same objects."""
        kept = {k: v for k, v in self.values.items() if k in stored and self.encode(k, v) == stored[k]}
        self.values = {key: self.codec.decode(data) for key, data in stored.items()} | kept
        self.stored = dict(stored)
        self._handed_out = dict(stored)
        self._assigned.clear()
        self._deleted.clear()

    def moved(self, stored: Mapping[str, bytes]) -> Fields:
        """The same values in another session, of which the store holds exactly this; these here stay as they are."""
        other = Fields(self.codec, self.max_bytes)
        other.values = self.values
        other.replaced(stored)
        return other

    def encode(self, key: str, value: Any) -> bytes:
        """The bytes of a value; TypeError naming the key where it has none."""
        try:
            return self.codec.encode(value)
        except TypeError as error:
            raise TypeError(f"session[{key!r}]: {error}") from error

    def check_size(self, fields: Mapping[str, bytes], without: set[str] | frozenset[str] = frozenset()) -> None:
        """`SessionTooLarge` where these fields exceed the bound."""
        size = size_of({key: data for key, data in fields.items() if key not in without})
        if size > self.max_bytes:
            raise SessionTooLarge(f"the session would have {size} bytes; it may have {self.max_bytes}")


def others_changes(before: Mapping[str, bytes], after: Mapping[str, bytes], mine: Changes) -> Changes | None:
    """What others changed between `before` and `after`, less what `mine` decides; None where that is nothing."""
    decided = mine.set.keys() | mine.delete
    changed = {key: data for key, data in after.items() if key not in decided and before.get(key) != data}
    deleted = frozenset(key for key in before if key not in decided and key not in after)
    return Changes(changed, deleted) if changed or deleted else None
