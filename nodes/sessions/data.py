"""`flask.session`: the application's keys and values, saved change by change, and Flask's own attributes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from flask.sessions import SessionMixin

from .fields import RESERVED, check_key, to_application_key, to_field
from .state import SessionState


class SessionData(SessionMixin):
    """The data of one visitor's session during one request; `flask.session` is a proxy for it.

    Keys are strings; values are of the types that the store's codec can encode. Assignments, deletions and changes
    inside a value that was read are saved with the response. `StoreUnavailable` can be raised wherever the store is
    needed. Besides a dict's methods and Flask's own attributes it has nothing public, so that `session.name` in a
    template is the application's key. Everything else is in `Session`.
    """

    def __init__(self, state: SessionState) -> None:
        self._state = state

    # ---- the mapping

    def __getitem__(self, key: str) -> Any:
        self._state.used = True
        if not isinstance(key, str):
            raise KeyError(key)
        field = to_field(key)
        record = self._state.unloaded()
        if not (record.loaded or record.fields.is_assigned(field)):
            record = self._state.load()
        return record.fields.get(field)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and to_field(key) in self._state.load().fields.values

    def __setitem__(self, key: str, value: Any) -> None:
        """Assign without a read. Raises TypeError for what can't be stored, `SessionTooLarge` for what does not fit."""
        check_key(key)
        self._state.assign(to_field(key), value)

    def __delitem__(self, key: str) -> None:
        fields = self._state.load().fields
        if not isinstance(key, str):
            raise KeyError(key)
        self._state.check_late()
        fields.delete(to_field(key))
        self._state.modified = None

    def __iter__(self) -> Iterator[str]:
        keys = map(to_application_key, self._state.load().fields.values)
        return iter([key for key in keys if key is not None])

    def __len__(self) -> int:
        values = self._state.load().fields.values
        return len(values) - sum(key in values for key in RESERVED)

    def __or__(self, other: object) -> dict[Any, Any]:
        return dict(self) | dict(other) if isinstance(other, Mapping) else NotImplemented

    def __ror__(self, other: object) -> dict[Any, Any]:
        return dict(other) | dict(self) if isinstance(other, Mapping) else NotImplemented

    def __ior__(self, other: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> Self:  # type: ignore[misc]
        self.update(other)
        return self

    def copy(self) -> dict[str, Any]:
        """Return the data as a dict."""
        return dict(self)

    def clear(self) -> None:
        """Remove everything: data, owner and lifetime. The session ends at the store with the response.

        This is the logout of many Flask applications, and the beginning of their login: what is written afterwards goes
        into a new session with a new id. Until then a failure leaves the visitor with the session they had.
        """
        self._state.clear()

    # ---- Flask's own attributes. `accessed` is that of `SessionMixin`, which Flask sets.

    @property
    def new(self) -> bool:  # type: ignore[override]
        """Whether this visitor has no session yet."""
        return self._state.load().record is None

    @property
    def modified(self) -> bool:
        """Whether this request changed the session. Assign False to save no change that was made before."""
        if self._state.modified is not None:
            return self._state.modified
        return self._state.record is not None and self._state.record.fields.is_changed()

    @modified.setter
    def modified(self, value: bool) -> None:
        self._state.modified = bool(value)

    @property
    def permanent(self) -> bool:
        """Whether the session and its cookie live for `SessionOptions.permanent_lifetime`."""
        return self._state.load().own_lifetime.permanent

    @permanent.setter
    def permanent(self, value: bool) -> None:
        if self.permanent is not bool(value):
            self._state.set_lifetime("permanent", bool(value), "permanent must be True or False")


def state_of(data: SessionMixin) -> SessionState:
    """Return the state behind `flask.session`."""
    assert isinstance(data, SessionData)
    return data._state
