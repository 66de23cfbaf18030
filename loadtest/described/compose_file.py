"""A compose file as `target init` reads it. No engine is asked.

Variables are replaced as compose does, from the environment and `.env` beside the file. `extends` and `include` are not
followed: `ComposeFile.dropped` names them.
"""

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from deploy.cluster import Role
from loadtest.described.toml import DescriptionError

_DEFAULTS = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
_OVERRIDES = tuple(f"{one}.override.{suffix}" for one in ("compose", "docker-compose") for suffix in ("yml", "yaml"))
"""In the order in which compose looks for them."""
_EVERYWHERE = {"", "0.0.0.0", "::"}  # noqa: S104  # of the file
_ADDRESS = re.compile(r"[0-9.]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
_FROM = re.compile(r"\s*FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?", re.IGNORECASE)
_VARIABLE = re.compile(r"\$(?:\$|\{(\w+)(?:(:?[-+?])((?:[^{}]|\{[^{}]*\})*))?\}|(\w+))")
_VALUE = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|(.*?)(?:\s+\#.*)?$)""")
"""In a file like `.env`: quoted, or up to a comment."""
_YAML = {
    "bool": re.compile(r"(?:true|True|TRUE|false|False|FALSE)$"),
    "int": re.compile(r"[-+]?(?:0b[01_]+|0[0-7_]+|0|[1-9][0-9_]*|0x[0-9a-fA-F_]+)$"),
    "float": re.compile(r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*|\.(?:inf|Inf|INF))$"),
}
"""What is not text in a compose file: its YAML is 1.2, where 2222:22 is not in base 60, and `on` is a name."""
BROWSERS = (80, 443, 8000, 8080, 3000, 5000, 8443, 9292, 4000)
"""Ports that browsers use, the usual ones first: a proxy may publish others for its own page."""


@dataclass(frozen=True)
class Port:
    """A published port: the host's, and the container's. `host` is the address that it is published at."""

    published: int
    target: int
    host: str = "127.0.0.1"

    @property
    def address(self) -> str:
        """HOST:PORT, as URLs have it."""
        return f"[{self.host}]:{self.published}" if ":" in self.host else f"{self.host}:{self.published}"


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
    is_job: bool = False
    """Whether others wait for its end."""
    role: Role | None = None
    reason: str = ""

    @property
    def product(self) -> str:
        """The image's name without registry, organisation and version: "redis"."""
        return self.path.rpartition("/")[2]

    @property
    def path(self) -> str:
        """The image without version: "docker.io/library/redis"."""
        folder, slash, name = self.image.partition("@")[0].rpartition("/")
        return f"{folder}{slash}{name.partition(':')[0]}".lower()

    @property
    def published(self) -> Port | None:
        """The port that browsers most probably use."""
        order = {port: place for place, port in enumerate(BROWSERS)}
        return min(self.ports, key=lambda port: order.get(port.target, len(order)), default=None)


@dataclass(frozen=True)
class ComposeFile:
    """The services of a compose file. `given_name` is its key `name`; `dropped` is what it takes from other files,
    which were not read."""

    path: Path
    given_name: str
    services: tuple[ComposeService, ...]
    dropped: tuple[str, ...] = ()

    @property
    def override(self) -> Path | None:
        """The file beside it that compose merges into it by itself; None: there is none."""
        beside = (self.path.with_name(name) for name in _OVERRIDES if self.path.name in _DEFAULTS)
        return next((path for path in beside if path.is_file()), None)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a compose file. Raises DescriptionError."""
        document = _load(path)
        services = document.get("services") if isinstance(document, dict) else None
        if not isinstance(services, dict) or not services:
            if isinstance(document, dict) and document.get("include"):
                how = "give one of its files, or what `docker compose config` prints"
                raise DescriptionError(f"{path} has only include, which is not followed: {how}")
            raise DescriptionError(f"{path} is not a compose file: it has no services")
        jobs = _find_jobs(services)
        folder = path.resolve().parent
        found = {str(name): one for name, one in services.items() if isinstance(one, dict)}
        read = tuple(_read_service(name, one, folder, name in jobs) for name, one in found.items())
        given = document.get("name")
        name = given if isinstance(given, str) and "$" not in given else ""
        return cls(path, name, read, tuple(_find_dropped(document, found)))

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
        return _substitute(yaml.load(text, Loader), {**_read_variables(path.parent / ".env"), **os.environ})  # noqa: S506  # a SafeLoader
    except OSError as error:
        raise DescriptionError(f"cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError) as error:  # of wrong values, too
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark is not None else ""
        what = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise DescriptionError(f"{path}{line}: not YAML: {what}") from error


def _read_variables(file: Path) -> dict[str, str]:
    """Return the variables of a file like `.env`; none if it can't be read."""
    variables = {}
    for line in _read(file).splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and not name.startswith("#") and (found := _VALUE.match(value)):
            variables[name.strip()] = found[1] or found[2] or found[3] or ""
    return variables


def _read_env_files(value: Any, folder: Path) -> dict[str, str]:
    """Return the variables of a service's `env_file`: one or several, in the long form or the short one."""
    paths = [one.get("path") if isinstance(one, dict) else one for one in _as_list(value)]
    return {name: one for path in paths for name, one in _read_variables(folder / str(path)).items()}


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


def _find_dropped(document: Mapping[str, Any], services: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield what a file takes from others: "include of db.yaml", "extends of web"."""
    for one in _as_list(document.get("include")):
        paths = one.get("path") if isinstance(one, dict) else one
        yield from (f"include of {path}" for path in _as_list(paths))
    for name, service in services.items():
        if "extends" in service:
            yield f"extends of {name}"


def _find_jobs(services: Mapping[str, Any]) -> set[str]:
    """Return the services whose end others wait for."""
    jobs = set()
    for service in services.values():
        needed = service.get("depends_on") if isinstance(service, dict) else None
        for name, how in needed.items() if isinstance(needed, dict) else ():
            if isinstance(how, dict) and how.get("condition") == "service_completed_successfully":
                jobs.add(str(name))
    return jobs


def _read_service(name: str, values: Mapping[str, Any], folder: Path, is_job: bool) -> ComposeService:
    build = values.get("build")
    context = build.get("context", ".") if isinstance(build, dict) else build
    profiles = values.get("profiles") or ()
    deploy = values.get("deploy")
    replicas = values.get("scale", deploy.get("replicas", 1) if isinstance(deploy, dict) else 1)
    words = [*_words(values.get("entrypoint")), *_words(values.get("command"))]
    place = folder / context if isinstance(context, str) and "://" not in context else None
    dockerfile = str(build.get("dockerfile", "Dockerfile")) if isinstance(build, dict) else "Dockerfile"
    inline = build.get("dockerfile_inline") if isinstance(build, dict) else None
    base = find_base_image(inline) if isinstance(inline, str) else ""
    if not base and place is not None:
        base = find_base_image(_read(place / dockerfile))
    return ComposeService(
        name=name,
        image=str(values.get("image") or "") or base,
        words=tuple(words),
        environment={**_read_env_files(values.get("env_file"), folder), **_environment(values.get("environment"))},
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
        is_job=is_job,
    )


def _read(file: Path) -> str:
    """Return the text of a file; "" if it can't be read."""
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def find_base_image(dockerfile: str) -> str:
    """Return the image that the last stage of a Dockerfile begins with; "" where it can't be told."""
    stages: dict[str, str] = {}
    base = ""
    for line in dockerfile.splitlines():
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
    """Return a list of the file; a single value is a list of it."""
    return value if isinstance(value, list) else [value] if isinstance(value, str | int) else []


def _port(text: str) -> int:
    """Return the number of a port; 0 for none."""
    number = int(text) if re.fullmatch(r"[0-9]{1,5}", text) else 0
    return number if number < 65_536 else 0


def _read_port(value: Any) -> Port | None:
    """Read "8080:80", "[::1]:8080:80/tcp", or the long form. None: no port of the host, or one of a range."""
    if isinstance(value, dict):
        published, target, host = (str(value.get(key, "")) for key in ("published", "target", "host_ip"))
    else:
        rest, _, target = str(value).partition("/")[0].rpartition(":")
        host, _, published = rest.rpartition(":")
    host = host.strip("[]")
    here = "127.0.0.1" if host in _EVERYWHERE or not _ADDRESS.fullmatch(host) else host
    port = Port(_port(published.partition("-")[0]), _port(target.partition("-")[0]), here)
    return port if port.published and port.target else None
