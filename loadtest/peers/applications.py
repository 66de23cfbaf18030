"""How the peers are started as nodes of a cluster, and what they may do at its store."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

from deploy import ClusterSpec, LocalCluster, NodeApplication, NodeKind
from deploy.acl import Rights
from loadtest.peers.install import PeerError, install_express

_GUNICORN_CONF = Path(__file__).parent / "flask_session" / "gunicorn.conf.py"

# What connect-redis and Flask-Session send for what the applications do, and their clients as they connect. Neither
# looks at any other key.
_EXPRESS_RIGHTS = Rights(("sess:*",), ("get", "set", "expire", "del"))
_FLASK_SESSION_RIGHTS = Rights(("session:*",), ("get", "set", "del"))


def application_of(kind: NodeKind) -> NodeApplication | None:
    """How a node of this kind is started; None for ours. Raises PeerError where it cannot be run here.

    The Express application is installed with npm the first time, which takes some seconds.
    """
    match kind:
        case NodeKind.OURS:
            return None
        case NodeKind.EXPRESS:
            command = ("node", str(install_express() / "app.js"))
            return NodeApplication(kind=kind, command=command, rights=_EXPRESS_RIGHTS, environment={"SESSIONS": "own"})
        case NodeKind.FLASK_SESSION:
            if find_spec("flask_session") is None:
                raise PeerError("Flask-Session is not installed: pip install 'session-cluster[bench]'")
            app = "loadtest.peers.flask_session.app:from_environ()"
            gunicorn = (sys.executable, "-m", "gunicorn", "-c", str(_GUNICORN_CONF), app)
            return NodeApplication(kind=kind, command=gunicorn, rights=_FLASK_SESSION_RIGHTS)


def local_cluster(
    spec: ClusterSpec,
    state_dir: Path | None = None,
    nginx: Path | str | None = None,
    store_server: Path | str | None = None,
) -> LocalCluster:
    """A `LocalCluster` with the nodes that `spec.node` names. Raises ClusterError, of which PeerError is one."""
    return LocalCluster(spec, state_dir, nginx, store_server, application_of(spec.node))
