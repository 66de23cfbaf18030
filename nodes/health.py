"""Liveness, readiness and metrics of a node. None of them touches a session, whatever the options."""

from __future__ import annotations

from flask import Blueprint, Response, current_app, jsonify, make_response

from .metrics import CONTENT_TYPE, MeasuredStore, Metrics
from .pages import RETRY_AFTER
from .sessions import StoreUnavailable, session_exempt
from .sessions.outage_log import outage_log

blueprint = Blueprint("health", __name__)


@blueprint.after_request
def _forbid_storing(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.get("/live")
@session_exempt
def live() -> Response:
    """Return 200 while the process answers. The store is not asked: its outage must not restart every node."""
    return jsonify(live=True, node=current_app.config["NODE_NAME"])


@blueprint.get("/ready")
@session_exempt
def ready() -> Response:
    """Return 200 if the store answers, else 503. For load balancers, which route traffic by it."""
    store: MeasuredStore = current_app.extensions["store"]
    try:
        store.ping_at_once()
    except StoreUnavailable as error:
        outage_log.report(error)
        response = make_response(jsonify(ready=False, error="the session store can't be reached"), 503)
        response.headers["Retry-After"] = str(RETRY_AFTER)
        return response
    return jsonify(ready=True, node=current_app.config["NODE_NAME"])


@blueprint.get("/metrics")
@session_exempt
def metrics() -> Response:
    """Return the counters of all workers of this node, in Prometheus's text format."""
    counted: Metrics = current_app.extensions["metrics"]
    return Response(counted.exposition(), content_type=CONTENT_TYPE)
