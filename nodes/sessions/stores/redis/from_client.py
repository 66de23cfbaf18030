"""The URL of a client of redis-py, for connections of our own to the same servers.

Its address, database, account, TLS files, client name and protocol are taken over. Its pool, timeouts and retries are
not, because the store's `Budgets` bound these, and its decoding is not, because a store's replies are bytes. What else
was set, such as a `credential_provider`, is refused: without it the connections would not be like the client's.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import redis
from redis.sentinel import SentinelConnectionPool, SentinelManagedConnection, SentinelManagedSSLConnection

from ...checks import describe_type
from .address import Address

_ADDRESS = {"host", "port", "path", "db", "username", "password", "ssl"}
_OPTIONS = (
    *("client_name", "protocol", "ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile"),
    *("ssl_password", "ssl_cert_reqs", "ssl_check_hostname"),
)
_DEFAULTS = {("ssl_cert_reqs", "required"), ("ssl_check_hostname", "true")}
_IGNORED = {
    *("socket_timeout", "socket_connect_timeout", "socket_read_size", "socket_keepalive", "timeout"),
    *("max_connections", "retry", "retry_on_error", "retry_on_timeout", "health_check_interval"),
    *("encoding", "encoding_errors", "decode_responses", "legacy_responses", "driver_info", "lib_name", "lib_version"),
    *("himport_registry", "orig_host_address", "orig_socket_timeout", "orig_socket_connect_timeout"),
    *("maint_notifications_pool_handler", "maint_notifications_config", "oss_cluster_maint_notifications_handler"),
    *("connection_pool", "connection_pool_class", "parser_class"),
}
_PLAIN = (redis.Connection, redis.UnixDomainSocketConnection, SentinelManagedConnection)
_TLS = (redis.SSLConnection, SentinelManagedSSLConnection)


def to_url(client: object) -> str:
    """Return the URL of the servers of `client`. Raises TypeError for other clients, ValueError for other settings.

    The client may be that of one server, of the primary that Sentinels name (`Sentinel.master_for`), or of a cluster.
    """
    if isinstance(client, redis.RedisCluster):
        return _cluster_url(client)
    if not isinstance(client, redis.Redis):
        raise TypeError(f"client must be a redis.Redis or redis.RedisCluster, not {describe_type(client)}")
    pool: Any = client.connection_pool
    if isinstance(pool, SentinelConnectionPool):
        return _sentinel_url(pool)
    options = _read(pool)
    query = urlencode(_query(options))
    if (path := options.get("path")) is not None:
        return f"unix://{_account(options)}{quote(path)}?db={options.get('db') or 0}{'&' if query else ''}{query}"
    address = Address(options.get("host") or "localhost", int(options.get("port") or 6379))
    return f"{_scheme(options)}://{_account(options)}{address}/{options.get('db') or 0}{'?' if query else ''}{query}"


def _sentinel_url(pool: Any) -> str:
    if not pool.is_master:
        raise ValueError("client must be one of the primary (Sentinel.master_for), not of its replicas")
    options = _read(pool)
    sentinels = [_read(each.connection_pool) for each in pool.sentinel_manager.sentinels]
    first = sentinels[0]
    if any(_query(each) != _query(options) or each["ssl"] != options["ssl"] for each in sentinels):
        raise ValueError("client must have the TLS options of its Sentinels, which share one URL here")
    hosts = ",".join(str(Address(each["host"], int(each["port"]))) for each in sentinels)
    own = [(f"sentinel_{name}", first[name]) for name in ("username", "password") if first.get(name)]
    query = urlencode([("db", str(options.get("db") or 0)), *_query(options), *own])
    scheme = f"{_scheme(options)}+sentinel"
    return f"{scheme}://{_account(options)}{hosts}/{quote(pool.service_name, safe='')}?{query}"


def _cluster_url(client: Any) -> str:
    nodes = client.nodes_manager
    if nodes.address_remap is not None:
        raise ValueError("client must be without address_remap, which a store does not have")
    # The client has a function of its own there, which calls that of the application.
    options = _check({**nodes.connection_kwargs, "redis_connect_func": client.user_on_connect_func})
    hosts = ",".join(str(Address(each.host, int(each.port))) for each in nodes.startup_nodes.values())
    query = urlencode(_query(options))
    return f"{_scheme(options)}+cluster://{_account(options)}{hosts}{'?' if query else ''}{query}"


def _read(pool: Any) -> dict[str, Any]:
    """Return the settings of a pool, with `ssl`."""
    if pool.connection_class not in {*_PLAIN, *_TLS}:
        raise ValueError(f"client must be without connections of its own, such as {pool.connection_class.__name__}")
    return _check({**pool.connection_kwargs, "ssl": pool.connection_class in _TLS})


def _check(options: dict[str, Any]) -> dict[str, Any]:
    """Return the settings. Raises ValueError for one that has no place in a URL, and so would be lost."""
    known = _ADDRESS.union(_OPTIONS, _IGNORED)
    # The default of socket_keepalive_options is an object that stands for nothing else.
    lost = [name for name, value in options.items() if name not in known and value and type(value) is not object]
    if lost:
        raise ValueError(f"client has settings that a store can't take over: {', '.join(sorted(lost))}")
    return options


def _query(options: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the options of the URL, without those that have redis-py's defaults."""
    names = _OPTIONS if options.get("ssl") else [name for name in _OPTIONS if not name.startswith("ssl_")]
    given = ((name, options.get(name)) for name in names)
    texts = [(name, _to_text(name, value)) for name, value in given if value is not None]
    return [each for each in texts if each not in _DEFAULTS]


def _to_text(name: str, value: Any) -> str:
    if name == "ssl_cert_reqs" and isinstance(value, ssl.VerifyMode):
        return value.name.removeprefix("CERT_").lower()
    return str(value).lower() if isinstance(value, bool) else str(value)


def _account(options: Mapping[str, Any]) -> str:
    user, password = (quote(str(options.get(name) or ""), safe="") for name in ("username", "password"))
    return f"{user}:{password}@" if password else f"{user}@" if user else ""


def _scheme(options: Mapping[str, Any]) -> str:
    return "rediss" if options.get("ssl") else "redis"
