"""The guided tour's HTTP interface."""

from typing import TYPE_CHECKING, Any

import flask
import msgspec

from loadtest.console.as_json import answer, read_posted
from loadtest.console.threads import in_thread
from loadtest.console.tour import Tour, TourStep

if TYPE_CHECKING:
    from loadtest.console.server import Console


class TourOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A step as it is posted: {"do": "next"}."""

    do: TourStep


def make_tour_view(console: "Console") -> flask.Blueprint:
    """Return the pages of the tour."""
    view = flask.Blueprint("tour", __name__, url_prefix="/console/tour")
    tour = Tour(console.director)

    @view.get("/")
    def show() -> Any:
        return answer(in_thread(tour.look))

    @view.post("/steps")
    def take() -> Any:
        order = read_posted(TourOrder, "a step")
        in_thread(tour.take, order.do)  # it asks the store for its primary
        return answer(in_thread(tour.look))

    return view
