"""Somebody else's application as a node of the cluster."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from deploy.errors import ClusterError
from deploy.redis.acl import Rights
from deploy.spec import ClusterSpec, NodeKind


@dataclass(frozen=True, kw_only=True)
class NodeApplication:
    """How it is started, and what it needs of the cluster. It speaks the HTTP interface of the README, on HTTP alone.

    Its environment tells it the same as our nodes, as far as it cares: NODE_NAME, NODE_WORKERS, SESSION_STORE,
    SESSION_SECRETS_FILE, TRUSTED_PROXIES, with a Redis REDIS_URL_FILE (redis:// or redis+sentinel://), and
    `ClusterSpec.node_settings`. Beyond that, HOST and PORT say where to listen, CLUSTER_USERS_FILE names a file with
    the passwords, {"users": {name: password}}, and SESSION_SECURE is "on" where the proxy speaks TLS. GET /ready
    answers 200 when it can serve.
    """

    kind: NodeKind
    command: tuple[str, ...]
    """Runs in the foreground until SIGTERM, and listens itself: its first process does."""
    rights: Rights
    """Of its user at the store: what its sessions are called there, and what it sends."""
    rights_at_sentinels: Rights
    """Of its user at the Sentinels of StoreKind.REDIS_HA: how its client finds the primary."""
    environment: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    """Of what it is made of: {"flask-session": "0.8.0"}."""


def check_application(spec: ClusterSpec, application: NodeApplication | None) -> None:
    """Raises ClusterError where this is not the application that the cluster is to have."""
    given = application.kind if application else NodeKind.FLASK
    if given is not spec.node:
        raise ClusterError(f"the cluster is to have {spec.node} nodes, and was told how to start {given} ones")
