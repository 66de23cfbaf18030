"""The cookie's attributes as one answer has them: an application's options, and whether the cookie is one for TLS."""

from __future__ import annotations

from dataclasses import dataclass

from .options import Priority, SameSite, SessionOptions


@dataclass(frozen=True, slots=True)
class CookieAttributes:
    """What stands behind the cookie's value. `max_age` is that of sessions without one of their own, in seconds."""

    path: str
    domain: str | None
    secure: bool
    http_only: bool
    same_site: SameSite
    partitioned: bool
    priority: Priority | None
    max_age: int | None


def attributes_of(options: SessionOptions, is_secure: bool) -> CookieAttributes:
    """`same_site` is never AUTO; `secure` is true where browsers would refuse the cookie otherwise."""
    same_site = options.same_site
    if same_site is SameSite.AUTO:
        same_site = SameSite.NONE if is_secure else SameSite.LAX
    return CookieAttributes(
        path=options.path,
        domain=options.domain,
        secure=is_secure or same_site is SameSite.NONE or options.partitioned,
        http_only=options.http_only,
        same_site=same_site,
        partitioned=options.partitioned,
        priority=options.priority,
        max_age=options.max_age,
    )
