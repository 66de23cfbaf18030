"""The part of a session that gives it a life of its own: `max_age` and `expires` beside the application's options."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

from msgspec import structs

from .codec import DecodeError
from .options import SessionOptions
from .own_fields import COOKIE_KEY, Life, typed
from .stored import StoredSession


class OwnLife:
    """Mixed into `Session`, which knows its options, what is stored, and how to assign a field."""

    _options: SessionOptions

    @property
    def _stored(self) -> StoredSession:
        raise NotImplementedError

    def _load(self) -> StoredSession:
        raise NotImplementedError

    def _assign(self, field: str, value: Any) -> None:
        raise NotImplementedError

    @property
    def max_age(self) -> float | None:
        """Seconds that the cookie lives, and without use the session: its own, or else `SessionOptions.max_age`.

        Assign to it for this session alone, None to undo that. The absolute timeout bounds it. ValueError for what is
        no time, or longer than `store.LONGEST`.
        """
        own = self._load().life.max_age
        return self._options.max_age if own is None else own

    @max_age.setter
    def max_age(self, seconds: float | None) -> None:
        self._live(max_age=seconds)

    @property
    def expires(self) -> datetime | None:
        """When this session ends at the latest, if it was given a date of its own. Assign one with a time zone."""
        own = self._load().life.expires
        return None if own is None else datetime.fromtimestamp(own, UTC)

    @expires.setter
    def expires(self, when: datetime | None) -> None:
        if when is not None and when.tzinfo is None:
            raise ValueError(f"expires {when} needs a time zone")
        self._live(expires=when.timestamp() if when else None)

    def _live(self, **change: Any) -> None:
        own = structs.asdict(self._load().life) | change
        try:
            typed(own, Life)
        except DecodeError as error:
            raise ValueError(f"{change} can't be: {error}") from error
        self._assign(COOKIE_KEY, own)

    @property
    def cookie_life(self) -> tuple[int | None, datetime | None]:
        """Max-Age in seconds and Expires for the cookie, as far as is known without asking."""
        own = self._stored.life
        if own.expires is not None:
            return None, datetime.fromtimestamp(own.expires, UTC)
        # Rounded up: the cookie never ends before the session, and Max-Age=0 would delete it.
        return (self._options.max_age if own.max_age is None else math.ceil(own.max_age)), None
