"""A compose file as `target init` reads it: services with their guessed roles. No engine is asked.

Variables are replaced as compose does, from the environment and `.env` beside the file. `extends` and `include` are not
followed.
"""

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from deploy.cluster import Role
from loadtest.described.toml import DescriptionError

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
    *("postgres", "postgresql", "mysql", "mariadb", "percona", "mongo", "mongodb", "mssql", "server", "cockroach"),
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
_FROM = re.compile(r"\s*FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?", re.IGNORECASE)
_JOB_NAME = re.compile(r"(^|[-_])(migrat\w*|init|setup|seed\w*|fixtures|assets|build|test\w*)([-_]|$)")
_VARIABLE = re.compile(r"\$(?:\$|\{(\w+)(?:(:?[-+?])((?:[^{}]|\{[^{}]*\})*))?\}|(\w+))")
_YAML = {
    "bool": re.compile(r"(?:true|True|TRUE|false|False|FALSE)$"),
    "int": re.compile(r"[-+]?(?:0b[01_]+|0[0-7_]+|0|[1-9][0-9_]*|0x[0-9a-fA-F_]+)$"),
    "float": re.compile(r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*|\.(?:inf|Inf|INF))$"),
}
"""What is not text in a compose file: its YAML is 1.2, where 2222:22 is not in base 60, and `on` is a name."""
_BROWSERS = (80, 443, 8000, 8080, 3000, 5000, 8443, 9292, 4000)
"""Ports that browsers use, the usual ones first: a proxy may publish others for its own page."""


@dataclass(frozen=True)
class Port:
    """A published port: the host's, and the container's."""

    published: int
    target: int


@dataclass(frozen=True)
class ComposeService:
    """A service, its guessed role (None: it is left out) and the reason for it. `words` are its command."""

    name: str
    image: str = ""
    words: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[Port, ...] = ()
    unset_ports: tuple[str, ...] = ()
    """Variables in its ports that are not set."""
    exposed: frozenset[int] = frozenset()
    build: Path | None = None
    profiles: tuple[str, ...] = ()
    scale: int = 1
    role: Role | None = None
    reason: str = ""

    @property
    def product(self) -> str:
        """The image's name without registry, organisation and version: "redis"."""
        return self.image.partition("@")[0].rpartition("/")[2].partition(":")[0].lower()

    @property
    def published(self) -> Port | None:
        """The port that browsers most probably use."""
        order = {port: place for place, port in enumerate(_BROWSERS)}
        return min(self.ports, key=lambda port: order.get(port.target, len(order)), default=None)


@dataclass(frozen=True)
class ComposeFile:
    """The services of a compose file. `given_name` is its key `name`."""

    path: Path
    given_name: str
    services: tuple[ComposeService, ...]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a compose file and guess the roles. Raises DescriptionError."""
        document = _load(path)
        services = document.get("services") if isinstance(document, dict) else None
        if not isinstance(services, dict) or not services:
            raise DescriptionError(f"{path} is not a compose file: it has no services")
        jobs = _find_jobs(services)
        folder = path.resolve().parent
        found = [_read_service(str(name), one, folder) for name, one in services.items() if isinstance(one, dict)]
        guessed = [_guess(service, service.name in jobs) for service in found]
        name = document.get("name")
        return cls(path, name if isinstance(name, str) and "$" not in name else "", tuple(_choose_stores(guessed)))

    @property
    def name(self) -> str:
        """The name of the project: the given one, or that of the folder."""
        return self.given_name or re.sub(r"[^a-z0-9_-]", "", self.path.resolve().parent.name.lower())

    def of(self, role: Role) -> list[ComposeService]:
        """Return the services with a role, in the order of the file."""
        return [service for service in self.services if service.role is role]

    @property
    def left_out(self) -> list[ComposeService]:
        """The services without a role."""
        return [service for service in self.services if service.role is None]


def _load(path: Path) -> Any:
    try:
        import yaml  # of the extra `targets`
    except ImportError as error:
        raise DescriptionError("PyYAML is not installed: pip install 'session-cluster[targets]'") from error

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        """Takes compose's own tags, !reset and !override, for what they stand at."""

    def construct(loader: Any, _suffix: str, node: Any) -> Any:
        if isinstance(node, yaml.MappingNode):
            return loader.construct_mapping(node, deep=True)
        if isinstance(node, yaml.SequenceNode):
            return loader.construct_sequence(node, deep=True)
        return loader.construct_scalar(node)

    Loader.add_multi_constructor("!", construct)
    others = {f"tag:yaml.org,2002:{name}" for name in (*_YAML, "timestamp")}
    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in others]
        for first, resolvers in Loader.yaml_implicit_resolvers.items()
    }
    for name, pattern in _YAML.items():
        Loader.add_implicit_resolver(f"tag:yaml.org,2002:{name}", pattern, list("-+.0123456789tTfF"))
    try:
        text = path.read_text(encoding="utf-8")
        return _substitute(yaml.load(text, Loader), _read_variables(path.parent / ".env"))  # noqa: S506  # a SafeLoader
    except OSError as error:
        raise DescriptionError(f"cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError) as error:  # of wrong values, too
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark is not None else ""
        what = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise DescriptionError(f"{path}{line}: not YAML: {what}") from error


def _read_variables(file: Path) -> dict[str, str]:
    """Return the environment, after the variables of a file like `.env`."""
    variables = {}
    if file.is_file():
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            name, equals, value = line.strip().removeprefix("export ").partition("=")
            if equals and not name.startswith("#"):
                variables[name.strip()] = value.strip().strip("\"'")
    return {**variables, **os.environ}


def _substitute(value: Any, variables: Mapping[str, str]) -> Any:
    """Replace $NAME, ${NAME}, ${NAME:-default} and ${NAME:+other} in all texts. What is not set stays."""
    if isinstance(value, dict):
        return {key: _substitute(one, variables) for key, one in value.items()}
    if isinstance(value, list):
        return [_substitute(one, variables) for one in value]
    if not isinstance(value, str):
        return value

    def put(match: re.Match[str]) -> str:
        name, how, other = match[1] or match[4], match[2] or "", match[3] or ""
        if name is None:
            return "$"
        found = variables.get(name)
        is_set = bool(found) if how.startswith(":") else found is not None
        if how.endswith("+"):
            return other if is_set else ""
        if is_set:
            return found or ""
        return str(_substitute(other, variables)) if how.endswith("-") else match[0]

    return _VARIABLE.sub(put, value)


def _find_jobs(services: Mapping[str, Any]) -> set[str]:
    """Return the services whose end others wait for."""
    jobs = set()
    for service in services.values():
        needed = service.get("depends_on") if isinstance(service, dict) else None
        for name, how in needed.items() if isinstance(needed, dict) else ():
            if isinstance(how, dict) and how.get("condition") == "service_completed_successfully":
                jobs.add(str(name))
    return jobs


def _read_service(name: str, values: Mapping[str, Any], folder: Path) -> ComposeService:
    build = values.get("build")
    context = build.get("context", ".") if isinstance(build, dict) else build
    profiles = values.get("profiles") or ()
    deploy = values.get("deploy")
    replicas = values.get("scale", deploy.get("replicas", 1) if isinstance(deploy, dict) else 1)
    words = [*_words(values.get("entrypoint")), *_words(values.get("command"))]
    place = folder / context if isinstance(context, str) and "://" not in context else None
    dockerfile = str(build.get("dockerfile", "Dockerfile")) if isinstance(build, dict) else "Dockerfile"
    return ComposeService(
        name=name,
        image=str(values.get("image") or "") or (find_base_image(place / dockerfile) if place is not None else ""),
        words=tuple(words),
        environment=_environment(values.get("environment")),
        ports=tuple(port for one in _as_list(values.get("ports")) if (port := _read_port(one)) is not None),
        unset_ports=tuple(
            match[1] or match[4] for match in _VARIABLE.finditer(str(values.get("ports"))) if match[0] != "$$"
        ),
        exposed=frozenset(
            number for one in _as_list(values.get("expose")) if (number := _port(str(one).partition("/")[0]))
        ),
        build=place,
        profiles=tuple(map(str, profiles)) if isinstance(profiles, list) else (),
        scale=int(replicas) if re.fullmatch(r"[0-9]{1,6}", str(replicas)) else 1,
    )


def find_base_image(dockerfile: Path) -> str:
    """Return the image that the last stage of a Dockerfile begins with; "" where it can't be told."""
    stages: dict[str, str] = {}
    base = ""
    try:
        lines = dockerfile.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        if found := _FROM.match(line):
            base = stages.get(found[1].lower(), found[1])
            stages[(found[2] or "").lower()] = base
    return "" if "$" in base else base


def _words(value: Any) -> list[str]:
    if isinstance(value, list):
        return [str(one) for one in value]
    try:
        return shlex.split(value) if isinstance(value, str) else []
    except ValueError:
        return value.split() if isinstance(value, str) else []


def _environment(value: Any) -> dict[str, str]:
    if isinstance(value, dict):
        return {str(name): "" if one is None else str(one) for name, one in value.items()}
    pairs = [str(one).partition("=") for one in value] if isinstance(value, list) else []
    return {name: one for name, _, one in pairs}


def _as_list(value: Any) -> list[Any]:
    """Return a list of the file; a single value, which compose refuses, is a list of it."""
    return value if isinstance(value, list) else [value] if isinstance(value, str | int) else []


def _port(text: str) -> int:
    """Return the number of a port; 0 for none."""
    number = int(text) if re.fullmatch(r"[0-9]{1,5}", text) else 0
    return number if number < 65_536 else 0


def _read_port(value: Any) -> Port | None:
    """Read "8080:80", "127.0.0.1:8080:80/tcp", or the long form. None: no port of the host, or one of a range."""
    if isinstance(value, dict):
        published, target = str(value.get("published", "")), str(value.get("target", ""))
    else:
        rest, _, target = str(value).partition("/")[0].rpartition(":")
        published = rest.rpartition(":")[2]
    port = Port(_port(published.partition("-")[0]), _port(target.partition("-")[0]))
    return port if port.published and port.target else None


def _guess(service: ComposeService, is_job: bool) -> ComposeService:
    """Return the service with the role that its image, its command, its ports or its name suggest."""
    role, reason = _find_role(service, is_job)
    return replace(service, role=role, reason=reason)


def _find_role(service: ComposeService, is_job: bool) -> tuple[Role | None, str]:
    product, command = service.product, " ".join(service.words).lower()
    first = Path(service.words[0]).name if service.words else ""
    ports = {port.target for port in service.ports} | service.exposed
    if is_job or _JOB_NAME.search(service.name):
        return None, "it runs once"
    if service.scale == 0:
        return None, "it has no containers"
    if service.profiles:
        return None, f"it starts with the profile {service.profiles[0]} only"
    if product in _TOOLS or product.endswith("exporter"):
        return None, f"image {product}"
    if "--sentinel" in service.words or "sentinel" in product or "redis-sentinel" in command or _SENTINEL_PORT in ports:
        return Role.SENTINEL, "a Sentinel"
    if product in _PROXIES or product.startswith("nginx-"):
        return Role.PROXY, f"image {product}"
    if product in _STORES:
        return Role.STORE, f"image {product}"
    if first in {"redis-server", "valkey-server", "mysqld", "postgres", "mongod", "memcached"}:
        return Role.STORE, f"command {first}"
    if first in {"nginx", "haproxy", "caddy", "traefik", "envoy"}:
        return Role.PROXY, f"command {first}"
    if ports & _STORE_PORTS:
        return Role.STORE, f"port {min(ports & _STORE_PORTS)}"
    if _WORKER.search(command) or _WORKER.search(service.name.replace("_", "-")):
        return None, "it works off jobs and answers no requests"
    if _PROXY_NAME.search(service.name):
        return Role.PROXY, "its name"
    if _STORE_NAME.search(service.name):
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
    names = {kind for kind in kinds.values() if kind in told or (kind == "database" and "db" in told.split("."))}
    wanted, why = names, "the nodes' environment names it for sessions"
    if not wanted:
        wanted = {kind for kind in ("redis", "memcached") if kind in kinds.values()} or {next(iter(kinds.values()))}
        why = f"{min(wanted)} rather than another store"
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
