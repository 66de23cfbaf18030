"""Cache-Control of a response that used the session: it is for one visitor, so no shared cache may keep it.

An application's own header is kept, with `private` added where neither that nor `no-store` is in it, and without the
directives that let shared caches keep the response. `SessionOptions.caching` says what a response without one gets.
"""

from __future__ import annotations

from flask import Response

from .options import Caching

_FOR_SHARED_CACHES = {"public", "s-maxage"}
_NAMES = {"vary", "cache-control"}
_DEFAULT = {Caching.NO_STORE: "no-store", Caching.PRIVATE: "private, no-cache"}
_FOR_SOME_CACHES = ("-cache-control", "surrogate-control", "edge-control", "x-accel-expires")
"""Ends of the names of headers that tell some shared caches something else than `Cache-Control` (RFC 9213)."""


def forbid_sharing(response: Response, caching: Caching) -> None:
    """Forbid shared caches to store the response.

    Compares names itself, because werkzeug's accessors cost more: `vary.add` alone 9 us.
    """
    headers = response.headers
    names = {name.lower() for name, _ in headers}
    for_some = [name for name in names if name.endswith(_FOR_SOME_CACHES)]
    if not for_some and names.isdisjoint(_NAMES):
        headers.add("Vary", "Cookie")
        headers.add("Cache-Control", _DEFAULT[caching])
        return
    vary = [each.strip() for each in ",".join(headers.getlist("Vary")).split(",")] if "vary" in names else []
    if "cookie" not in map(str.lower, vary):
        headers["Vary"] = ", ".join([*vary, "Cookie"])
    for name in for_some:
        del headers[name]
    own = ", ".join(headers.getlist("Cache-Control")) if "cache-control" in names else ""
    headers["Cache-Control"] = _private(own) or _DEFAULT[caching]


def _private(header: str) -> str | None:
    """Return the Cache-Control header without leave for shared caches; None where there is none."""
    directives = [directive.strip() for directive in header.split(",") if directive.strip()]
    by_name = {directive.partition("=")[0].strip().lower(): directive for directive in directives}
    if not by_name:
        return None
    if '"' in header or ";" in header:  # a list of fields, or a mistake: caches read it in different ways
        return "no-store"
    kept = [directive for name, directive in by_name.items() if name not in _FOR_SHARED_CACHES]
    return ", ".join(kept if by_name.keys() & {"private", "no-store"} else ["private", *kept])
