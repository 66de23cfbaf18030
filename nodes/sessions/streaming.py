"""Streams: responses whose body is made while it is sent, and may still change the session."""

from __future__ import annotations

from collections import abc
from collections.abc import Iterator
from typing import Any

from flask import Response
from werkzeug.wsgi import ClosingIterator

from .state import SessionState

_MOST = 1024 * 1024
"""Bytes of a body that is read before it is sent."""


def read_known_body(response: Response) -> None:
    """Read the body of another WSGI application where its length is known, so that it is not taken for a stream.

    Flask calls an error (`abort`) as such an application, and makes a response of it whose body is an iterator.
    """
    if not isinstance(response.response, ClosingIterator):
        return
    length = 0 if response.status_code in {204, 304} else response.content_length
    if length is not None and length <= _MOST:
        response.make_sequence()


class SavedStream:
    """The body of a streamed response; what it did to the session is saved at its end, or when the client hangs up.

    A response to HEAD is closed without being iterated over.
    """

    def __init__(self, body: abc.Iterable[Any], state: SessionState) -> None:
        self._body = body
        self._state = state
        self._is_closed = False

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self._body
        finally:
            self.close()

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        try:
            if (close := getattr(self._body, "close", None)) is not None:
                close()
        finally:
            self._state.save_late()
            self._state.request_context.streams = False
