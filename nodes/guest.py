"""Another application on a node, in place of the shop: its own pages, around it what a node of the cluster needs.

    request -> ProxyFix -> request id, log, metrics -> /live, /ready, /metrics: this node
                                                    -> everything else: the application

The application gets the cluster's sessions by `Sessions.from_environment(app)`. It may be any WSGI application; of a
Flask application the metrics have its routes. The security headers of the shop are not added: its pages are its own.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from flask import Flask
from flask.sessions import SecureCookieSessionInterface
from gunicorn.errors import AppImportError
from gunicorn.util import import_app
from werkzeug.middleware.proxy_fix import ProxyFix

from . import gunicorn_hooks, health, logs, sessions
from .environment import SettingsError
from .hang_up import HangUpGuard
from .load_shedding import LoadShedder
from .metrics import MeasuredStore, Metrics
from .middleware import RequestMiddleware, remember_route
from .sessions import Sessions, Sweeper
from .settings import Settings
from .stores import make_stores

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger("nodes")

_OWN = frozenset({"/live", "/ready", "/metrics"})
_DISTRIBUTION = "flask_shared_sessions"
"""The library's name on its own. An application may import it by this name, also where it is not installed."""


def make(settings: Settings) -> WSGIApplication:
    """Return the application that the settings name, with what a node has around it. Raises SettingsError."""
    metrics = Metrics()
    store = MeasuredStore(make_stores(settings).sessions, metrics)
    metrics.add_state(settings.node_name, store)
    application = _load(settings.application, settings.application_folder, metrics)
    # Configured again, in case that the application has set up logs of its own.
    logs.configure_logs(settings.node_name, settings.log_level)
    if gunicorn_hooks.sweeps(settings):
        Sweeper(store, settings.sweep_seconds).start()
    served: WSGIApplication = LoadShedder(_Dispatcher(_make_health(settings, store, metrics), application))
    if (count := settings.trusted_proxies) > 0:
        served = HangUpGuard(served)
    served = RequestMiddleware(served, settings.node_name, metrics, headers=())
    return ProxyFix(served, x_for=count, x_proto=count, x_host=count) if count > 0 else served


def _load(name: str, folder: Path | None, metrics: Metrics) -> WSGIApplication:
    """Import the application. Raises SettingsError where that fails; the log has the traceback of its own errors."""
    folder = (folder or Path.cwd()).resolve()
    sys.path[:0] = [str(folder), str(folder / "packages")]
    # A node bounds anonymous sessions; the library alone does not, because it may not know the clients' addresses.
    os.environ.setdefault("SESSION_ANONYMOUS_RATE", str(Settings.anonymous_rate))
    if find_spec(_DISTRIBUTION) is None:
        sys.modules[_DISTRIBUTION] = sessions
    try:
        application: WSGIApplication = import_app(name)
    except ModuleNotFoundError as error:
        raise SettingsError(f"NODE_APP={name}: {error} in {folder}, nor among the node's packages") from error
    except AppImportError as error:
        raise SettingsError(f"NODE_APP={name}: {error}") from None
    except Exception as error:
        log.exception("%s can't be imported", name)
        raise SettingsError(f"NODE_APP={name}: {type(error).__name__}: {' '.join(str(error).split())}") from error
    if isinstance(application, Flask):
        application.teardown_request(remember_route)
        if isinstance(extension := application.extensions.get("sessions"), Sessions):
            metrics.listen_to(extension)
        if isinstance(application.session_interface, SecureCookieSessionInterface):
            log.warning("%s has its sessions in a cookie, and not in the cluster's store: see `from_environment`", name)
    return application


def _make_health(settings: Settings, store: MeasuredStore, metrics: Metrics) -> Flask:
    app = Flask("nodes")
    app.config["NODE_NAME"] = settings.node_name
    app.extensions.update(store=store, metrics=metrics)
    app.register_blueprint(health.blueprint)
    app.teardown_request(remember_route)
    return app


class _Dispatcher:
    """Sends the node's own addresses to `own`, and all others to `application`."""

    def __init__(self, own: WSGIApplication, application: WSGIApplication) -> None:
        self._own = own
        self._application = application

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        application = self._own if environ.get("PATH_INFO") in _OWN else self._application
        return application(environ, start_response)
