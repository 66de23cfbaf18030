"""The start of reference implementations as nodes of a cluster, and their rights at its store."""

from __future__ import annotations

import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from deploy import ClusterSpec, LocalCluster, NodeApplication, NodeKind
from deploy.redis.acl import Rights
from loadtest.targets.install import InstallError, install_express, locked_version

_GUNICORN_CONF = Path(__file__).parent / "flask_session" / "gunicorn.conf.py"

# The commands that connect-redis and Flask-Session send for these applications, and their clients as they connect.
_EXPRESS_RIGHTS = Rights(("sess:*",), ("get", "set", "expire", "del"))
_FLASK_SESSION_RIGHTS = Rights(("session:*",), ("get", "set", "del"))
# To find the primary, node-redis asks for all servers and listens for changes, redis-py asks for all primaries.
_NODE_REDIS_AT_SENTINELS = Rights(
    commands=("sentinel|master", "sentinel|replicas", "sentinel|sentinels", "psubscribe", "punsubscribe"),
    channels=("*",),
)
_REDIS_PY_AT_SENTINELS = Rights(commands=("sentinel|masters",))

_EXPRESS_PACKAGES = ("express", "express-session", "connect-redis")


def make_application(kind: NodeKind) -> NodeApplication | None:
    """Return how a node of this kind is started; None for Flask nodes. Raises InstallError if it cannot run here.

    The Express application is installed with npm the first time, which takes some seconds.
    """
    match kind:
        case NodeKind.FLASK:
            return None
        case NodeKind.EXPRESS:
            return NodeApplication(
                kind=kind,
                command=("node", str(install_express() / "app.js")),
                rights=_EXPRESS_RIGHTS,
                rights_at_sentinels=_NODE_REDIS_AT_SENTINELS,
                environment={"SESSIONS": "own"},
                versions={name: locked_version(name) for name in _EXPRESS_PACKAGES},
            )
        case NodeKind.FLASK_SESSION:
            if find_spec("flask_session") is None:
                raise InstallError("Flask-Session is not installed: pip install 'session-cluster[bench]'")
            app = "loadtest.targets.flask_session.app:from_environ()"
            gunicorn = (sys.executable, "-m", "gunicorn", "-c", str(_GUNICORN_CONF), app)
            return NodeApplication(
                kind=kind,
                command=gunicorn,
                rights=_FLASK_SESSION_RIGHTS,
                rights_at_sentinels=_REDIS_PY_AT_SENTINELS,
                versions={"flask-session": metadata.version("flask-session")},
            )


def local_cluster(
    spec: ClusterSpec,
    state_dir: Path | None = None,
    nginx: Path | str | None = None,
    store_server: Path | str | None = None,
) -> LocalCluster:
    """Return a `LocalCluster` with nodes of the kind `spec.node`. Raises ClusterError, of which InstallError is one."""
    return LocalCluster(spec, state_dir, nginx, store_server, make_application(spec.node))
