"""The roles of a compose file's services, guessed from images, commands, ports and names."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from deploy.cluster import Role
from loadtest.described.compose_file import BROWSERS, ComposeFile, ComposeService

_PROXIES = {
    "nginx",
    "openresty",
    "traefik",
    "haproxy",
    "caddy",
    "envoy",
    "httpd",
    "apache",
    "nginx-proxy",
    "varnish",
    "kong",
}
_REDIS = {"redis", "valkey", "keydb", "dragonfly", "redis-stack", "redis-stack-server", "redict", "garnet"}
_DATABASES = {
    *("postgres", "postgresql", "mysql", "mariadb", "percona", "mongo", "mongodb", "mssql", "cockroach"),
    *(
        "postgis",
        "timescaledb",
        "pgvector",
        "couchdb",
        "couchbase",
        "cassandra",
        "scylla",
        "dynamodb-local",
        "oracle-free",
    ),
}
_STORES = {*_REDIS, *_DATABASES, "memcached", "hazelcast", "infinispan"}
_TOOLS = {
    *("adminer", "phpmyadmin", "pgadmin4", "pgadmin", "mongo-express", "redis-commander", "redisinsight", "mailhog"),
    *("mailpit", "prometheus", "grafana", "jaeger", "all-in-one", "loki", "alertmanager", "cadvisor", "portainer"),
    *(
        "elasticsearch",
        "opensearch",
        "kibana",
        "rabbitmq",
        "kafka",
        "zookeeper",
        "nats",
        "minio",
        "certbot",
        "localstack",
    ),
    *("node-exporter", "redis_exporter", "postgres-exporter", "watchtower", "meilisearch", "typesense", "selenium"),
}
_STORE_PORTS = {6379, 5432, 3306, 27017, 11211, 1433}
_SENTINEL_PORT = 26379
_WORKER = re.compile(
    r"\b(celery|sidekiq|rq|dramatiq|huey|resque|queue:work|horizon|schedule:run|cron|crond|worker|beat)\b"
)
_PROXY_NAME = re.compile(r"(^|[-_])(proxy|nginx|lb|load-?balancer|gateway|ingress|traefik|haproxy|caddy)([-_]|\d|$)")
_STORE_NAME = re.compile(r"(^|[-_])(redis|valkey|memcached?|db|database|postgres|mysql|mariadb|mongo)([-_]|\d|$)")
_JOB_NAME = re.compile(r"(^|[-_])(migrat\w*|init|setup|seed\w*|fixtures|assets|build|test\w*)([-_]|$)")
_NOT_FOR_BROWSERS = {*_STORE_PORTS, _SENTINEL_PORT, 22, 5005, 5678, 9229}
"""Ports of stores, shells and debuggers."""
_SQL_SERVER = "mssql/server"
"""Of Microsoft: the name alone is that of other images, too."""


def guess_roles(project: ComposeFile) -> ComposeFile:
    """Return the project with a role for each service, and the reason; without one it is left out."""
    guessed = []
    for service in project.services:
        role, reason = _find_role(service)
        guessed.append(replace(service, role=role, reason=reason))
    return replace(project, services=tuple(_choose_stores(guessed)))


def _find_role(service: ComposeService) -> tuple[Role | None, str]:
    product, command = service.product, " ".join(service.words).lower()
    first = Path(service.words[0]).name if service.words else ""
    ports = {port.target for port in service.ports} | service.exposed
    serves = any(port.target not in _NOT_FOR_BROWSERS for port in service.ports)
    is_page = any(port.target in BROWSERS for port in service.ports)
    if service.is_job or (_JOB_NAME.search(service.name) and not serves):
        return None, "it runs once"
    if service.scale == 0:
        return None, "it has no containers"
    if service.profiles:
        return None, f"it starts with the profile {service.profiles[0]} only"
    if product in _TOOLS or product.endswith("exporter") or product.startswith("portainer-"):
        return None, f"image {product}"
    if "--sentinel" in service.words or "sentinel" in product or "redis-sentinel" in command or _SENTINEL_PORT in ports:
        return Role.SENTINEL, "a Sentinel"
    if product in _PROXIES or product.startswith("nginx-"):
        return Role.PROXY, f"image {product}"
    if product in _STORES or service.path.endswith(_SQL_SERVER):
        return Role.STORE, f"image {product if product in _STORES else _SQL_SERVER}"
    if first in {"redis-server", "valkey-server", "mysqld", "postgres", "mongod", "memcached"}:
        return Role.STORE, f"command {first}"
    if first in {"nginx", "haproxy", "caddy", "traefik", "envoy"}:
        return Role.PROXY, f"command {first}"
    if ports & _STORE_PORTS:
        return Role.STORE, f"port {min(ports & _STORE_PORTS)}"
    if _WORKER.search(command) or (_WORKER.search(service.name.replace("_", "-")) and not serves):
        return None, "it works off jobs and answers no requests"
    if _PROXY_NAME.search(service.name):
        return Role.PROXY, "its name"
    if _STORE_NAME.search(service.name) and not is_page:
        return Role.STORE, "its name"
    return Role.NODE, "the rest"


def _choose_stores(services: Sequence[ComposeService]) -> list[ComposeService]:
    """Leave out the stores that probably have no sessions: where the nodes' environment names one it is that, else
    Redis and memcached before databases."""
    stores = [service for service in services if service.role is Role.STORE]
    kinds = {service.name: _kind_of(service) for service in stores}
    if len(set(kinds.values())) < 2:
        return list(services)
    told = " ".join(
        value.lower()
        for service in services
        if service.role is Role.NODE
        for name, value in service.environment.items()
        if "SESSION" in name.upper()
    )
    names = {kind for kind in kinds.values() if kind in told or (kind == "database" and re.search(r"\.db\b", told))}
    # Two kinds and more: one of them is Redis or memcached.
    wanted = names or {"redis", "memcached"}
    why = "the nodes' environment names it for sessions" if names else "before databases"
    if set(kinds.values()) <= wanted:
        return list(services)
    return [
        service
        if service.role is not Role.STORE
        else replace(service, reason=f"{service.reason}, {why}")
        if kinds[service.name] in wanted
        else replace(service, role=None, reason="a store, too: its role is store if sessions are in it")
        for service in services
    ]


def _kind_of(service: ComposeService) -> str:
    text = f"{service.product} {' '.join(service.words[:1])} {service.name}".lower()
    if any(name in text for name in _REDIS):
        return "redis"
    return "memcached" if "memcache" in text else "database"
