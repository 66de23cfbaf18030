"""A visit counter and a cart in the session, for visitors and users."""

from __future__ import annotations

from typing import Annotated

import msgspec
from flask import Blueprint, Response, jsonify, request, session
from werkzeug.exceptions import BadRequest, UnprocessableEntity

from . import pages
from .request import read_body, wants_page, wrong_value
from .sessions import current_session

MAX_ITEM_CHARACTERS = 64
MAX_QUANTITY = 1000
_QUANTITY = f"a whole number from 1 to {MAX_QUANTITY}"
MAX_ITEMS = 100
"""Maximum number of different items in one cart."""
MAX_TOTAL = 1_000_000
"""Maximum quantity of one item in one cart."""

blueprint = Blueprint("shop", __name__)


class Line(msgspec.Struct, frozen=True):
    """A line to add to the cart. msgspec turns the ValueError of a wrong value into an error with its text."""

    item: str
    quantity: Annotated[int, msgspec.Meta(description=_QUANTITY)]

    def __post_init__(self) -> None:
        if not self.item.strip() or not self.item.isprintable() or len(self.item) > MAX_ITEM_CHARACTERS:
            raise ValueError(f"item must be 1 to {MAX_ITEM_CHARACTERS} printable characters")
        if not 1 <= self.quantity <= MAX_QUANTITY:
            raise ValueError(wrong_value("quantity", _QUANTITY, str(self.quantity)))

    def add_to(self, cart: dict[str, int]) -> dict[str, int]:
        """Return the cart with this line added. Raises 422 where it would hold too much."""
        item = self.item.strip()
        total = cart.get(item, 0) + self.quantity
        if item not in cart and len(cart) >= MAX_ITEMS:
            raise UnprocessableEntity(f"item: the cart already holds {MAX_ITEMS} different items; empty it first")
        if total > MAX_TOTAL:
            raise UnprocessableEntity(f"quantity: the cart holds at most {MAX_TOTAL} of one item")
        return {**cart, item: total}


@blueprint.get("/")
def home() -> Response:
    """Return the page to a browser, the profile to a program."""
    return pages.home() if wants_page(request) else me()


@blueprint.get("/me")
def me() -> Response:
    """Return user, node, visits and cart. Never creates a session."""
    return jsonify(pages.profile())


@blueprint.post("/visits")
def visit() -> Response:
    """Count a visit, as a compare-and-set: two concurrent visits both count."""
    visits = current_session.mutate("visits", lambda count: count + 1, default=0)
    return pages.json_or({"visits": visits})


@blueprint.post("/cart")
def add_to_cart() -> Response:
    """Add to the cart, as a compare-and-set."""
    try:
        line = read_body(Line)
        cart = current_session.mutate("cart", line.add_to, default={})
    except (BadRequest, UnprocessableEntity) as error:
        return pages.refuse_form(error, about="cart")
    return pages.json_or({"cart": cart})


@blueprint.delete("/cart")
@blueprint.post("/cart/empty")
def empty_cart() -> Response:
    """Empty the cart. The second address is for forms, which can't send DELETE."""
    current_session.require_current()
    if "cart" in session:
        del session["cart"]
    return pages.json_or(None)
