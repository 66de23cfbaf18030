"""From a URL to a pool of redis-py's that keeps to the budgets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from ..budgets import Budgets
from .redis_address import NamedConnection, NamedTlsConnection, Resolver


def pool_of(url: str, budgets: Budgets, ca_file: Path | None) -> redis.ConnectionPool:
    """The pool for `url` (redis://, rediss://, unix://), which connects within `budgets`. ValueError where it can't."""
    options: dict[str, Any] = {}
    tls = url.startswith("rediss://")
    if ca_file is not None:
        if not tls:
            raise ValueError("a CA file is for rediss:// alone: the URL asks for a connection without TLS")
        options["ssl_ca_certs"] = str(ca_file)
    if not url.startswith("unix://"):
        options["resolver"] = Resolver()
    pool = redis.ConnectionPool.from_url(
        url,
        max_connections=budgets.max_connections,
        socket_connect_timeout=budgets.connect_timeout,
        socket_timeout=budgets.read_timeout,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
        # Each would be a round trip more, of up to read_timeout, before the first command.
        driver_info=None,
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
        **options,
    )
    if not url.startswith("unix://"):
        pool.connection_class = NamedTlsConnection if tls else NamedConnection
    return pool
