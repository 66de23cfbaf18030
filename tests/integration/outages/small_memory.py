"""The node's application with a memory store that a few sessions fill."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from nodes import app, sessions
from nodes.sessions import MemoryStore

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def application() -> WSGIApplication:
    """For gunicorn, in place of `nodes.app:from_environ()`."""
    vars(sessions)["MemoryStore"] = partial(MemoryStore, max_sessions=10)
    return app.from_environ()
