"""Whoever sent the request, as their session knows them."""

from __future__ import annotations

from typing import Any, cast

import flask

from .sessions import Session

session = cast(Session, flask.session)
"""`flask.session`, with the type that the session layer gives it."""


def profile() -> dict[str, Any]:
    """Who they are, which node answers, how often they visited and what lies in their cart. Makes no session."""
    return {
        "user": session.owner,
        "node": flask.current_app.config["NODE_NAME"],
        "visits": session.get("visits", 0),
        "cart": session.get("cart", {}),
    }


def handle() -> str | None:
    """The beginning of the key under which the store keeps the session; None where there is none. Logs nobody in."""
    return session.key_hash[:8] if session.exists and session.key_hash else None
