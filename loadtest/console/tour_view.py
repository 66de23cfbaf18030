"""The guided tour's HTTP interface."""

from typing import TYPE_CHECKING, Any

import flask
import msgspec

from deploy import ClusterError
from loadtest.console.director import Refused
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
        return _json(in_thread(tour.look))

    @view.post("/steps")
    def take() -> Any:
        if not flask.request.is_json:
            flask.abort(415, "a step is JSON: send Content-Type: application/json")
        try:
            order = msgspec.json.decode(flask.request.get_data(), type=TourOrder)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            flask.abort(400, f"not a step: {error}")
        try:
            in_thread(tour.take, order.do)  # it asks the store for its primary
        except Refused as refusal:
            return {"error": str(refusal), "reason": msgspec.to_builtins(refusal.reason)}, 409
        except ClusterError as error:
            flask.abort(409, str(error))
        return _json(in_thread(tour.look))

    return view


def _json(value: Any) -> flask.Response:
    return flask.Response(msgspec.json.encode(value), mimetype="application/json")
