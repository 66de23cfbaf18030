"""A store shared with an application on another framework: what our options add to its records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from .fields import COOKIE_KEY
from .options import CookieAttributes, SessionOptions
from .store import Changes, Lifetime, Outcome, Store, StoreWrapper


class SharedStore(StoreWrapper):
    """A store shared with an application on another framework, during one request. `is_secure`: its cookie is for TLS.

    The other application takes the cookie's attributes from the record, because it does not know our options. So the
    field `_cookie` holds them beside the session's own lifetime: all attributes once the session is created, and the
    options' `max_age` once the session's own is removed. A load returns only `max_age` and `expires`.
    """

    def __init__(self, store: Store, options: SessionOptions, is_secure: bool) -> None:
        super().__init__(store)
        self._options = options
        self._is_secure = is_secure

    def create(
        self, key: str, fields: Mapping[str, bytes], owner: str | None, lifetime: Lifetime, created: float | None = None
    ) -> float | None:
        options = self._options
        attributes = {name: getattr(options, name) for name in CookieAttributes.__annotations__} | {
            "secure": options.sent_secure(self._is_secure),
            "same_site": options.sent_same_site(self._is_secure).value.lower(),
            "priority": options.priority and options.priority.value.lower(),
        }
        attributes |= self._own_lifetime(fields.get(COOKIE_KEY))
        return self.wraps.create(key, {**fields, COOKIE_KEY: self.codec.encode(attributes)}, owner, lifetime, created)

    def update(self, key: str, changes: Changes, lifetime: Lifetime) -> Outcome:
        if COOKIE_KEY in changes.set or COOKIE_KEY in changes.delete:
            own = self.codec.encode(self._own_lifetime(changes.set.get(COOKIE_KEY)))
            changes = replace(changes, set={**changes.set, COOKIE_KEY: own}, delete=changes.delete - {COOKIE_KEY})
        return self.wraps.update(key, changes, lifetime)

    def _own_lifetime(self, data: bytes | None) -> dict[str, Any]:
        """Return the session's own `max_age` and `expires`, or the options' `max_age` where it has neither."""
        own = self.codec.decode(data) if data is not None else None
        own = own if isinstance(own, dict) else {}
        max_age, expires = own.get("max_age"), own.get("expires")
        if own.get("permanent") and max_age is None:
            max_age = self._options.permanent_lifetime  # the other application knows nothing but a cookie's age
        inherited = max_age is expires is None
        return {"max_age": self._options.max_age if inherited else max_age, "expires": expires}
