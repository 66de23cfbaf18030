"""From a URL to what answers commands: one server, the primary that Sentinels name, or a cluster."""

from __future__ import annotations

from pathlib import Path

from ..budgets import Budgets
from .redis_calls import Asks
from .redis_cluster import ClusterConnections
from .redis_connection import Connections
from .redis_outage import OutagePolicy, Waiting
from .redis_primary import PrimaryConnections
from .redis_servers import Servers
from .redis_url import pool_of


def connections_of(url: str, budgets: Budgets, ca_file: Path | None = None) -> Asks:
    """Connects when first used. ValueError for a URL that can't be meant."""
    servers = Servers.parse(url)
    if servers is None:
        return Connections(pool_of(url, budgets, ca_file), budgets)
    if servers.by == "cluster":
        return ClusterConnections(servers, budgets, ca_file)
    return PrimaryConnections(servers, budgets, ca_file)


def held(asks: Asks, policy: OutagePolicy) -> Asks:
    """The same under an outage policy."""
    return Waiting(asks, policy) if policy.waits else asks
