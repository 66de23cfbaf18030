"""The part of a session that gives it a life of its own: `max_age` and `expires` beside the application's options."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from .options import SessionOptions
from .stored import COOKIE_KEY, StoredSession


class OwnLife:
    """Mixed into `Session`, which knows its options, what is stored, and how to assign a field."""

    _options: SessionOptions

    @property
    def _stored(self) -> StoredSession:
        raise NotImplementedError

    def _load(self) -> StoredSession:
        raise NotImplementedError

    def __setitem__(self, key: str, value: Any) -> None:
        raise NotImplementedError

    @property
    def max_age(self) -> float | None:
        """Seconds that the cookie lives, and without use the session: its own, or else `SessionOptions.max_age`.

        Assign to it for this session alone, None to undo that. The absolute timeout bounds it.
        """
        own: float | None = self._load().own_cookie.get("max_age")
        return self._options.max_age if own is None else own

    @max_age.setter
    def max_age(self, seconds: float | None) -> None:
        if seconds is not None and not 0 < seconds < float("inf"):
            raise ValueError(f"max_age {seconds} must be above 0, or None")
        self[COOKIE_KEY] = {"max_age": seconds, "expires": self._load().own_cookie.get("expires")}

    @property
    def expires(self) -> datetime | None:
        """When this session ends at the latest, if it was given a date of its own. Assign one with a time zone."""
        own: float | None = self._load().own_cookie.get("expires")
        return None if own is None else datetime.fromtimestamp(own, UTC)

    @expires.setter
    def expires(self, when: datetime | None) -> None:
        if when is not None and when.tzinfo is None:
            raise ValueError(f"expires {when} needs a time zone")
        own = self._load().own_cookie
        self[COOKIE_KEY] = {"max_age": own.get("max_age"), "expires": when.timestamp() if when else None}

    @property
    def cookie_life(self) -> tuple[int | None, datetime | None]:
        """Max-Age in seconds and Expires for the cookie, as far as is known without asking."""
        own = self._stored.own_cookie
        if own.get("expires") is not None:
            return None, datetime.fromtimestamp(own["expires"], UTC)
        return (self._options.max_age if own.get("max_age") is None else int(own["max_age"])), None
