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
