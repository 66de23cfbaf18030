"""The Flask application of a node, wired from its settings."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gevent
import msgspec
from flask import Flask, Response, request
from flask.json.provider import DefaultJSONProvider
from gevent import monkey
from gevent.threadpool import ThreadPool
from gunicorn.arbiter import Arbiter
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge
from werkzeug.middleware.proxy_fix import ProxyFix

from . import account_sessions, auth, csrf, guest, gunicorn_hooks, health, logs, middleware, pages, shop
from .accounts import UsersError, read_accounts
from .accounts.users import Users
from .environment import SettingsError
from .hang_up import HangUpGuard
from .load_shedding import LoadShedder
from .metrics import MeasuredStore, Metrics
from .rate_limit import RateLimiter
from .sessions import Resave, SameSite, Secure, SessionLimit, SessionOptions, Sessions, Sweeper
from .settings import Settings
from .store_kinds import Stores
from .stores import make_stores

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

MAX_BODY_BYTES = 64 * 1024
_HASHING_THREADS = 2
"""Passwords hashed in parallel by one worker: each takes 19 MiB and a core for about 30 ms."""


def create_app(settings: Settings) -> Flask:
    """Make the application that `settings` describe. It connects to nothing before the first request.

    Raises `SettingsError` or `UsersError`, one line.
    """
    app = Flask("nodes")
    app.config.update(NODE_NAME=settings.node_name, STORE_KIND=settings.store.value, MAX_CONTENT_LENGTH=MAX_BODY_BYTES)
    app.json = JsonProvider(app)
    metrics = Metrics()
    stores = make_stores(settings)
    store = MeasuredStore(stores.sessions, metrics)
    metrics.add_state(settings.node_name, store)
    sessions = Sessions(app, store=store, options=_options(settings))
    metrics.listen_to(sessions)
    app.extensions.update(
        users=make_users(settings, stores, _hashing()),
        store=store,
        metrics=metrics,
        rate_limiter=RateLimiter(
            stores.rate_limits,
            settings.secrets,
            settings.login_attempts,
            settings.login_window,
            secure=settings.secure != "off",
        ),
    )
    app.before_request(_refuse_large_body)
    csrf.protect(app, settings.secrets)
    pages.register(app)
    for part in (shop, auth, account_sessions, health):
        app.register_blueprint(part.blueprint)
    app.wsgi_app = LoadShedder(app.wsgi_app)  # type: ignore[method-assign]
    if settings.trusted_proxies > 0:
        app.wsgi_app = HangUpGuard(app.wsgi_app)  # type: ignore[method-assign]
    middleware.install(app, settings.node_name, metrics)
    if (count := settings.trusted_proxies) > 0:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=count, x_proto=count, x_host=count)  # type: ignore[method-assign]
    return app


class JsonProvider(DefaultJSONProvider):
    """Flask's JSON, but that msgspec writes the responses, in a sixth of the time."""

    sort_keys = False

    def response(self, *args: Any, **kwargs: Any) -> Response:
        """Return a response with the arguments of `jsonify`."""
        body = msgspec.json.encode(self._prepare_response_obj(args, kwargs))
        return Response(body + b"\n", mimetype=self.mimetype)


def make_users(settings: Settings, stores: Stores, run: Callable[[Callable[[], Any]], Any] | None = None) -> Users:
    """Return the users, with those of the users file. Raises `UsersError`."""
    return Users(stores.accounts, read_accounts(settings.users_file) if settings.users_file else None, run)


def from_environ() -> WSGIApplication:
    """Return the application for gunicorn, from this process's environment. Exit with one line for a wrong setting.

    The status of the exit ends gunicorn's main process, too. After others it would start workers for ever.
    """
    try:
        settings = Settings.from_environ(os.environ)
        logs.configure_logs(settings.node_name, settings.log_level)
        if settings.application:
            return guest.make(settings)
        app = create_app(settings)
    except (SettingsError, UsersError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(Arbiter.WORKER_BOOT_ERROR)
    if gunicorn_hooks.sweeps(settings):
        sessions: Sessions = app.extensions["sessions"]
        Sweeper(sessions.store, settings.sweep_seconds, sessions.notify).start()
        Sweeper(app.extensions["rate_limiter"].store, settings.sweep_seconds).start()
    return app


def _options(settings: Settings) -> SessionOptions:
    return SessionOptions(
        secrets=settings.secrets,
        name=settings.session_name,
        idle_timeout=settings.idle_timeout,
        absolute_timeout=settings.absolute_timeout,
        secure=Secure(settings.secure),
        http_only=settings.http_only,
        same_site=SameSite[settings.same_site.upper()],
        max_age=settings.max_age,
        rolling=settings.rolling,
        resave=Resave.ALWAYS if settings.resave else Resave.NEVER,
        save_uninitialized=settings.save_uninitialized,
        max_bytes=settings.max_bytes,
        max_sessions=settings.max_sessions,
        session_limit=SessionLimit[settings.session_limit.upper()],
        anonymous_rate=settings.anonymous_rate or None,
        anonymous_share=settings.anonymous_percent / 100,
        remember_client=True,
    )


def _hashing() -> Callable[[Callable[[], Any]], Any] | None:
    """Return a thread pool's `apply` under gevent, because hashing would block the worker's other requests.

    Measured: with four clients that log in, GET /live takes 24 ms (median) with the pool, 330 ms without.
    """
    if not monkey.is_module_patched("socket"):
        return None
    pool = ThreadPool(_HASHING_THREADS, hub=gevent.get_hub())
    return pool.apply


def _refuse_large_body() -> None:
    """Refuse bodies that are too large, also for views that read no body.

    A chunked body announces no length. Werkzeug cuts it off at the limit silently, so a body that reaches the limit
    is too large.
    """
    environ = request.environ  # not request.headers, which takes 8 us
    if "HTTP_TRANSFER_ENCODING" in environ:
        try:
            large = len(request.get_data()) >= MAX_BODY_BYTES
        except ParseException as error:
            raise BadRequest(f"the body is not in chunks as HTTP has them: {error}") from error
    else:
        large = "CONTENT_LENGTH" in environ and (request.content_length or 0) > MAX_BODY_BYTES
    if large:
        raise RequestEntityTooLarge(f"the body is larger than {MAX_BODY_BYTES // 1024} KiB")
