"""The current request for views: its user, its body, and whether it wants a page or JSON."""

from __future__ import annotations

import re
from typing import TypeVar, get_type_hints

import msgspec
from flask import Request, request
from werkzeug.exceptions import BadRequest, Unauthorized, UnsupportedMediaType

from .sessions import current_session

T = TypeVar("T")

REQUEST_ID = "nodes.request_id"
"""The key of the request's id in the WSGI environment; `middleware.py` sets it."""
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
FORMS = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})
WRONG_TYPE = "send a form (application/x-www-form-urlencoded) or JSON (application/json)"
"""The text of a 415."""
_SHOWN = 20
"""The most characters of a wrong value that its error repeats."""
_AT = re.compile(r" - at `\$\.(\w+)`\Z")
_MISSING = re.compile(r"Object missing required field `(\w+)`")


def request_id() -> str:
    """Return the id of the current request, for error pages and logs."""
    value = request.environ.get(REQUEST_ID, "")
    return value if isinstance(value, str) else ""


def require_user() -> str:
    """Return the user who is logged in. Raises 401 for visitors."""
    if current_session.owner is None:
        raise Unauthorized("log in first")
    return current_session.owner


def wants_page(req: Request) -> bool:
    """Return whether the client is a browser that shows pages.

    Clients that ask for JSON, send it, or have no preference get JSON; clients that prefer text/html, as browsers do,
    get a page.
    """
    if req.is_json or not req.accept_mimetypes:
        return False
    return req.accept_mimetypes.best_match(("application/json", "text/html")) == "text/html"


def has_form(req: Request) -> bool:
    """Return whether the body comes from a page's form."""
    return req.mimetype in FORMS


def read_body(shape: type[T]) -> T:
    """Return the request's body, a form or JSON, as `shape`, a msgspec struct.

    Raises 415 for any other type of body, 400 for a malformed one and for missing or wrong fields, which it names, and
    413 for one that is too large. Numbers in forms are text, so there "2" counts as 2; in JSON it does not.
    """
    try:
        if has_form(request):
            return msgspec.convert(request.form.to_dict(), shape, strict=False)
        if request.is_json:
            return msgspec.json.decode(request.get_data(), type=shape)
    except RecursionError:
        raise BadRequest("the body is nested too deeply") from None
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise BadRequest((has_form(request) and _said_of_field(str(error), shape)) or _readable(str(error))) from None
    raise UnsupportedMediaType(WRONG_TYPE)


def wrong_value(name: str, wanted: str, value: str) -> str:
    """Return the error of a field: `quantity must be a whole number from 1 to 1000, not abc`."""
    return f"{name} must be {wanted}, not {value if len(value) <= _SHOWN else value[:_SHOWN] + '…'}"


def _said_of_field(message: str, shape: type) -> str:
    """Return the error of a form's wrong field, by the field's description in `shape`; "" without one."""
    if (at := _AT.search(message)) is None:
        return ""
    name, value = at[1], request.form.get(at[1], "")
    notes = getattr(get_type_hints(shape, include_extras=True)[name], "__metadata__", ())
    wanted = next((note.description for note in notes if isinstance(note, msgspec.Meta) and note.description), "")
    if not wanted:
        return ""
    return wrong_value(name, wanted, value) if value.strip() else f"{name} is missing"


def _readable(message: str) -> str:
    """Return msgspec's message with the field in front: `quantity: expected int, got str`, `user is missing`."""
    if missing := _MISSING.match(message):
        return f"{missing[1]} is missing"
    at = _AT.search(message)
    text = _AT.sub("", message).replace("`", "")
    text = text if text.startswith("JSON") else text[:1].lower() + text[1:]
    return f"{at[1]}: {text}" if at else text
