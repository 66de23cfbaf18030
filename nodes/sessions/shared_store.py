"""A store whose sessions another application has too: each says what its cookie is like.

The other application sends the cookie again as the session says, and knows nothing of our options. So these go to the
store in the field `_cookie`, beside what a session has of its own: all of them when it is made, and `max_age` also when
it loses its own. A load returns nothing of it but `max_age` and `expires`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

from .cookie_attributes import CookieAttributes
from .own_fields import COOKIE_KEY
from .store import Changes, Lifetime, Outcome, Record, Store


class SharedStore:
    """`store` for one request, whose cookie gets the `attributes`."""

    def __init__(self, store: Store, attributes: Callable[[], CookieAttributes]) -> None:
        self.codec = store.codec
        self.cookie = store.cookie
        self.wraps = store
        self._attributes = attributes

    def load(self, key: str) -> Record | None:
        return self.wraps.load(key)

    def create(
        self,
        key: str,
        fields: Mapping[str, bytes],
        owner: str | None,
        lifetime: Lifetime,
        created: float | None = None,
    ) -> float | None:
        attributes = self._attributes()
        told = asdict(attributes) | {
            "same_site": attributes.same_site.value.lower(),
            "priority": attributes.priority and attributes.priority.value.lower(),
        }
        told |= self._own(fields.get(COOKIE_KEY))
        return self.wraps.create(key, {**fields, COOKIE_KEY: self.codec.encode(told)}, owner, lifetime, created)

    def update(self, key: str, changes: Changes, lifetime: Lifetime) -> Outcome:
        if COOKIE_KEY in changes.set or COOKIE_KEY in changes.delete:
            own = self.codec.encode(self._own(changes.set.get(COOKIE_KEY)))
            changes = replace(changes, set={**changes.set, COOKIE_KEY: own}, delete=changes.delete - {COOKIE_KEY})
        return self.wraps.update(key, changes, lifetime)

    def _own(self, data: bytes | None) -> dict[str, Any]:
        """A session's own `max_age` and `expires`; where it has neither, the `max_age` of all."""
        own = self.codec.decode(data) if data is not None else None
        own = own if isinstance(own, dict) else {}
        max_age, expires = own.get("max_age"), own.get("expires")
        return {"max_age": self._attributes().max_age if max_age is expires is None else max_age, "expires": expires}

    def delete(self, key: str) -> Record | None:
        return self.wraps.delete(key)

    def quarantine(self, key: str) -> None:
        self.wraps.quarantine(key)

    def ping(self) -> float:
        return self.wraps.ping()

    def close(self) -> None:
        self.wraps.close()
