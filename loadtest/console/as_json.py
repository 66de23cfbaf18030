"""JSON in the requests and answers of the console's views."""

from typing import Any, TypeVar

import flask
import msgspec

T = TypeVar("T")


def read_posted(kind: type[T], what: str) -> T:
    """Return what was posted: "a step". Anything else is answered with 415 or 400."""
    if not flask.request.is_json:
        flask.abort(415, f"{what} is JSON: send Content-Type: application/json")
    try:
        return msgspec.json.decode(flask.request.get_data(), type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        flask.abort(400, f"not {what}: {error}")


def answer(value: Any) -> flask.Response:
    """Return a value that msgspec can encode as the response."""
    return flask.Response(msgspec.json.encode(value), mimetype="application/json")
