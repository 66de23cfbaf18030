"""`gunicorn -c loadtest/targets/flask_session/gunicorn.conf.py "loadtest.targets.flask_session.app:from_environ()"`.

Written as Flask-Session's documentation has it, with its defaults. It is configured through the environment:

    NODE_NAME               the value of X-Served-By
    SESSION_STORE           memory (cachelib's SimpleCache, one for each process) or redis
    REDIS_URL, ..._FILE     for redis: its URL, or a file that holds it; redis+sentinel:// as the nodes have it
    SESSION_NAME            the cookie's name; session
    SESSION_SECURE          on: the cookie is for TLS only
    SESSION_IDLE_TIMEOUT    seconds that a session lives without use; 1800
    SESSION_REFRESH_EACH_REQUEST  off: only a request that changes a session stores it, so reading keeps none alive
    TRUSTED_PROXIES         how many proxies stand before it; 0
    CLUSTER_USERS_FILE      JSON: {"users": {user: password}}
"""

from __future__ import annotations

import hmac
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import redis
from cachelib import SimpleCache
from flask import Flask, Response, jsonify, request, session
from flask_session import Session  # type: ignore[import-untyped]
from redis.sentinel import Sentinel
from werkzeug.middleware.proxy_fix import ProxyFix

# SimpleCache's default of 500 would drop sessions, and the only loss to show here is that each process has its own.
MOST_SESSIONS_IN_MEMORY = 1_000_000


def from_environ() -> Flask:
    """Create the application from the environment of the process. Raises KeyError for a missing setting."""
    environ = os.environ
    app = Flask(__name__)
    proxies = int(environ.get("TRUSTED_PROXIES", "0"))
    app.wsgi_app = ProxyFix(app.wsgi_app, x_for=proxies, x_proto=proxies, x_host=proxies)  # type: ignore[method-assign]
    app.config.update(
        SESSION_COOKIE_NAME=environ.get("SESSION_NAME", "session"),
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=environ.get("SESSION_SECURE") == "on",
        SESSION_REFRESH_EACH_REQUEST=environ.get("SESSION_REFRESH_EACH_REQUEST") != "off",
        PERMANENT_SESSION_LIFETIME=int(environ.get("SESSION_IDLE_TIMEOUT", "1800")),
    )
    ping = _use_store(app, environ)
    Session(app)
    users: Mapping[str, str] = json.loads(Path(environ["CLUSTER_USERS_FILE"]).read_text(encoding="utf-8"))["users"]
    _add_login(app, environ["NODE_NAME"], users)
    _add_shop(app, environ["NODE_NAME"])
    _add_health(app, environ["NODE_NAME"], ping)
    return app


def _use_store(app: Flask, environ: Mapping[str, str]) -> Callable[[], object]:
    """Configure the store of Flask-Session. Return a function that raises RedisError if the store does not answer."""
    if environ["SESSION_STORE"] == "memory":
        app.config.update(SESSION_TYPE="cachelib", SESSION_CACHELIB=SimpleCache(threshold=MOST_SESSIONS_IN_MEMORY))
        return lambda: None
    url = environ.get("REDIS_URL") or Path(environ["REDIS_URL_FILE"]).read_text(encoding="utf-8").strip()
    client: Any = _primary(url) if url.startswith("redis+sentinel://") else redis.Redis.from_url(url)
    app.config.update(SESSION_TYPE="redis", SESSION_REDIS=client)
    return client.ping  # type: ignore[no-any-return]


def _primary(url: str) -> Any:
    """Return redis-py's client of the primary that the Sentinels of a URL name:
    redis+sentinel://user:password@h1:p1,h2:p2/NAME?sentinel_username=…&sentinel_password=…"""
    parts = urlsplit(url)
    user, _, places = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    own = {f"sentinel_{what}": value for what, value in (("username", name), ("password", password))}
    sentinels = [(host, int(port)) for host, _, port in (place.rpartition(":") for place in places.split(","))]
    accounts = [
        {what: given[f"sentinel_{what}"] for what in ("username", "password") if given.get(f"sentinel_{what}")}
        for given in (own, dict(parse_qsl(parts.query)))
    ]
    sentinel: Any = Sentinel(sentinels, sentinel_kwargs=accounts[1], **accounts[0])  # type: ignore[no-untyped-call]
    return sentinel.master_for(parts.path.strip("/"))


def _add_login(app: Flask, node: str, users: Mapping[str, str]) -> None:
    @app.post("/login")
    def login() -> tuple[Response, int] | Response:
        body = request.get_json()
        user, password = str(body.get("user")), str(body.get("password"))
        if user not in users or not hmac.compare_digest(users[user].encode(), password.encode()):
            return jsonify(error="User or password is wrong."), 401
        app.session_interface.regenerate(session)  # type: ignore[attr-defined]
        session["user"] = user
        return jsonify(user=user, node=node)

    @app.post("/logout")
    def logout() -> tuple[str, int]:
        session.clear()
        return "", 204

    @app.get("/account")
    def account() -> tuple[Response, int] | Response:
        if "user" not in session:
            return jsonify(error="log in first"), 401
        return jsonify(user=session["user"])


def _add_shop(app: Flask, node: str) -> None:
    @app.get("/me")
    def me() -> Response:
        cart = session.get("cart", {})
        return jsonify(user=session.get("user"), node=node, visits=session.get("visits", 0), cart=cart)

    @app.post("/visits")
    def visit() -> Response:
        session["visits"] = session.get("visits", 0) + 1
        return jsonify(visits=session["visits"])

    @app.post("/cart")
    def add() -> tuple[Response, int] | Response:
        item, quantity = (request.get_json().get(name) for name in ("item", "quantity"))
        if not isinstance(item, str) or type(quantity) is not int or quantity < 1:
            return jsonify(error="item: a text; quantity: a whole number from 1"), 422
        cart = session.get("cart", {})
        session["cart"] = {**cart, item: cart.get(item, 0) + quantity}
        return jsonify(cart=session["cart"])

    @app.delete("/cart")
    def empty() -> tuple[str, int]:
        session.pop("cart", None)
        return "", 204


def _add_health(app: Flask, node: str, ping: Callable[[], object]) -> None:
    @app.get("/live")
    def live() -> Response:
        return jsonify(status="alive")

    @app.get("/ready")
    def ready() -> tuple[Response, int] | Response:
        try:
            ping()
        except redis.RedisError:
            return jsonify(status="the session store can't be reached"), 503
        return jsonify(status="ready")

    @app.after_request
    def name_the_node(response: Response) -> Response:
        response.headers["X-Served-By"] = node
        response.headers["Cache-Control"] = "no-store"
        return response
