"""Pages or JSON on the same addresses: what a request wants back, and what it brings."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec
from flask import Request, request
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

T = TypeVar("T")

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
FORMS = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})
_AT = re.compile(r" - at `\$\.(\w+)`\Z")


def wants_page(req: Request) -> bool:
    """Whether the client is a browser that shows pages.

    JSON is for whoever asks for it, sends it, or has no preference; a page for whoever prefers text/html, as browsers
    do.
    """
    if req.is_json or not req.accept_mimetypes:
        return False
    return req.accept_mimetypes.best_match(("application/json", "text/html")) == "text/html"


def brings_form(req: Request) -> bool:
    """Whether the body is one that a page's form sends."""
    return req.mimetype in FORMS


def read_body(shape: type[T]) -> T:
    """The request's body as `shape`, a msgspec struct, out of a form or JSON.

    Raises 415 for any other type of body, 400 for a malformed one and for missing or wrong fields, which it names, and
    413 for one that is too large. Numbers in forms are text, so there "2" counts as 2; in JSON it does not.
    """
    try:
        if brings_form(request):
            return msgspec.convert(request.form.to_dict(), shape, strict=False)
        if request.is_json:
            return msgspec.json.decode(request.get_data(), type=shape)
    except RecursionError:
        raise BadRequest("the body is nested too deeply") from None
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise BadRequest(_readable(str(error))) from None
    raise UnsupportedMediaType("send a form (application/x-www-form-urlencoded) or JSON (application/json)")


def _readable(message: str) -> str:
    """msgspec's message with the field in front: `quantity: expected int, got str`."""
    at = _AT.search(message)
    text = _AT.sub("", message).replace("`", "")
    text = text[:1].lower() + text[1:]
    return f"{at[1]}: {text}" if at else text
