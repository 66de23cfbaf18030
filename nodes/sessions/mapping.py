"""The part of a session that is a mapping: the application's keys and values, and nothing of the layer's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flask.sessions import SessionMixin

from .own_fields import OWN_KEYS, application_key, field_of
from .stored import StoredSession


class Mapping(SessionMixin):
    """Mixed into `Session`, which knows what is stored, and when it is too late to change it."""

    used: bool

    @property
    def _stored(self) -> StoredSession:
        raise NotImplementedError

    def _load(self) -> StoredSession:
        raise NotImplementedError

    def _refuse_if_closed(self) -> None:
        raise NotImplementedError

    def __getitem__(self, key: str) -> Any:
        self.used = True
        field = field_of(key)
        fields = self._stored.fields
        if not fields.assigned(field):
            self._load()
        return fields.get(field)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and field_of(key) in self._load().fields.values

    def __setitem__(self, key: str, value: Any) -> None:
        """Assigns without reading. TypeError for what can't be stored, `SessionTooLarge` for what would not fit."""
        if not isinstance(key, str):
            raise TypeError(f"a session's keys are strings, not {type(key).__name__}: {key!r}")
        self._assign(field_of(key), value)

    def _assign(self, field: str, value: Any) -> None:
        self._refuse_if_closed()
        self.used = True
        self._stored.fields.assign(field, value)

    def __delitem__(self, key: str) -> None:
        fields = self._load().fields
        self._refuse_if_closed()
        fields.delete(field_of(key))

    def __iter__(self) -> Iterator[str]:
        keys = map(application_key, self._load().fields.values)
        return iter([key for key in keys if key is not None])

    def __len__(self) -> int:
        values = self._load().fields.values
        return len(values) - sum(key in values for key in OWN_KEYS)

    def clear(self) -> None:
        """Removes all data. Id, owner and a life of its own stay: to log out, `end`."""
        for key in self:
            del self[key]
