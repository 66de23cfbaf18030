"""Logging in and out. Logging in gives the session a new id, keeping what the visitor gathered."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import msgspec
from flask import Blueprint, Response, current_app, jsonify, make_response, render_template, request
from werkzeug.exceptions import BadRequest, Unauthorized

from . import pages
from .accounts import Users
from .each_request import request_id
from .negotiation import read_body, wants_page
from .visitor import session

log = logging.getLogger("nodes.auth")

blueprint = Blueprint("auth", __name__)


class Credentials(msgspec.Struct, frozen=True):
    """What a login brings."""

    user: str
    password: str

    def __repr__(self) -> str:  # never the password, wherever this may be printed
        return f"Credentials(user={self.user!r})"


@blueprint.post("/login")
def login() -> Response:
    """Logs in: 200 with a renewed id, or 401, the same for an unknown user as for a wrong password."""
    users: Users = current_app.extensions["users"]
    try:
        credentials = read_body(Credentials)
    except BadRequest as error:
        return pages.failed(error, about="login")
    if not users.verify(credentials.user, credentials.password):
        log.info("login refused", extra={"request_id": request_id()})
        return pages.failed(Unauthorized("User or password is wrong."), about="login")
    if session.owner not in {None, credentials.user}:
        session.clear()  # what belongs to one user is not handed to another
    session.renew(owner=credentials.user)
    log.info("logged in", extra={"request_id": request_id(), "user": credentials.user, "session": session.key_hash})
    return pages.json_or_home({"user": credentials.user, "node": current_app.config["NODE_NAME"]})


@blueprint.post("/logout")
def logout() -> Response:
    """Ends the session at the store before it answers, whoever's it is; a visitor without one has nothing to end."""
    session.end()
    return pages.json_or_home(None)


@blueprint.get("/account")
def account() -> Response:
    """Who is logged in and since when (ISO 8601, UTC, by the store's clock); 401 where nobody is."""
    user, created = session.owner, session.created
    if user is None or created is None:
        raise Unauthorized("log in first")
    since = datetime.fromtimestamp(created, UTC)
    if wants_page(request):
        return make_response(render_template("account.html", user=user, since=since))
    return jsonify(user=user, since=since.isoformat(timespec="seconds"))
