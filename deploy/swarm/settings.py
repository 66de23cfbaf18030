"""The settings that stack.yaml is deployed with: their checks, and the file that keeps them for the next deployment."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from deploy.files import write_json
from deploy.spec import ClusterError, SpecError, check_nodes
from nodes.environment import Environment, SettingsError, did_you_mean
from nodes.settings import Settings
from nodes.store_kinds import make as make_stores
from proxy import Balance

STACK = Path(__file__).parent / "stack.yaml"
STORE_URL, OWN_URL = "node/store-url", "node/redis-url.redis.standalone"
"""Files of a stack's folder: the URL that the nodes use, and the one of the stack's own Redis."""
KEPT = "settings.json"
"""File of a stack's folder: the settings of the last deployment."""
_NOT_KEPT = ("image", "store_url")
"""Given each time, and kept as a secret."""
_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}", re.ASCII)
_OPTIONS = {
    "STACK": "--name",
    "FOLDER": "--state",
    "IMAGE": "--image",
    "NODES": "--nodes",
    "PORT": "--port",
    "SESSION_STORE": "--store-url",
    "STORE_INTERNAL": "--store-url",
    "STORE_NETWORK": "--store-url",
    "REDIS_REPLICAS": "--store-url",
    "REDIS_MACHINE": "--store-machine",
}
"""Variables of stack.yaml that follow from an option; those with this end, from the files of --state."""
_VERSION = "_VERSION"
_UNITS = {unit: 1024**power for power, unit in enumerate(("", "k", "m", "g", "t", "p"))}
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmgtp]?)i?b?", re.ASCII | re.IGNORECASE)
_REDIS_UNITS = {"": 1, "b": 1, "k": 1000, "kb": 1024, "m": 1000**2, "mb": 1024**2, "g": 1000**3, "gb": 1024**3}
_REDIS_SIZE = re.compile(r"(\d+)([kmg]?b?)", re.ASCII | re.IGNORECASE)
_DURATION = re.compile(r"(\d+(\.\d+)?(ms|s|m|h))+", re.ASCII)
_LEAST_NODE_MEMORY, _LEAST_MAXMEMORY = 64 * 1024**2, 1024**2
_LEAST_REDIS_MEMORY = 1024**3
_SPACE = 2
"""The limit of the Redis's container for each byte of its maxmemory: while it rewrites its file, what changes is in
memory twice, and buffers and fragments do not count as its data."""


@dataclass(frozen=True, kw_only=True)
class StackSettings:
    """What stack.yaml is deployed with. Raises SpecError for the first wrong value."""

    name: str = "sessions"
    image: str
    nodes: int = 3
    balance: Balance = Balance.ROUND_ROBIN
    port: int = 8080
    hosts: tuple[str, ...] = ()
    """Names and addresses that are served beside those of the machines."""
    trusted_proxies: tuple[str, ...] = ()
    store_url: str = ""
    """A store outside of the stack; empty: the stack's own Redis."""
    store_machine: str = ""
    """The machine of the stack's own Redis; empty: the one it has, or that of the manager that is asked."""
    users: tuple[str, ...] = ("alice", "bob", "carol")
    variables: Mapping[str, str] = field(default_factory=dict)
    """More variables of stack.yaml."""
    resolve_image: str = "always"
    """Whether the manager asks the registry for the digest of each image: always, changed or never."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise SpecError(
                f"name must be a lower-case letter, then up to 30 letters, digits or '-', not {self.name!r}"
            )
        check_nodes(self.nodes)
        if not 1 <= self.port <= 65535:
            raise SpecError(f"port must be between 1 and 65535, not {self.port}")
        self._check_resources()
        self._check_store()

    @property
    def redis_memory(self) -> int:
        """The limit of the Redis's container in bytes."""
        if given := self.variables.get("REDIS_MEMORY"):
            return _parse_size("REDIS_MEMORY", given)
        return max(_LEAST_REDIS_MEMORY, _SPACE * self._redis_maxmemory)

    @property
    def store(self) -> str:
        """The kind of the store."""
        if not self.store_url:
            return "redis"
        scheme, separator, _ = self.store_url.partition("://")
        if separator and re.fullmatch(r"rediss?(\+(sentinel|cluster))?", scheme):
            return "redis"
        if separator and scheme in {"mysql", "mariadb", "postgresql"}:
            return "sql"
        known = "redis://, rediss://, redis+sentinel://, redis+cluster://, mysql:// or postgresql://"
        # What has no scheme may begin with a password.
        is_scheme = separator and re.fullmatch(r"[a-z][a-z0-9+.-]{0,19}", scheme, re.ASCII | re.IGNORECASE)
        raise SpecError(f"store_url must begin with {known}{f', not {scheme}://' if is_scheme else ''}")

    @property
    def _redis_maxmemory(self) -> int:
        text = self.variables.get("REDIS_MAXMEMORY") or "256mb"
        size = _REDIS_SIZE.fullmatch(text)
        number = int(size[1]) * _REDIS_UNITS[size[2].lower()] if size else 0
        if number < _LEAST_MAXMEMORY:
            raise SpecError(f"REDIS_MAXMEMORY must be a size of 1mb or more, such as 256mb, not {text}")
        return number

    def _check_resources(self) -> None:
        """Refuse what no container, health check or restart could have."""
        memory = self.variables.get("NODE_MEMORY")
        if memory and _parse_size("NODE_MEMORY", memory) < _LEAST_NODE_MEMORY:
            raise SpecError(f"NODE_MEMORY must be 64M or more, not {memory}")
        if self.redis_memory < (least := _SPACE * self._redis_maxmemory):
            limit = f"REDIS_MEMORY must be {_SPACE} times REDIS_MAXMEMORY or more, {-(-least // 1024**2)}M"
            raise SpecError(f"{limit}, not {self.variables['REDIS_MEMORY']}")
        for name in ("START_PERIOD", "RESTART_DELAY"):
            if (text := self.variables.get(name)) and not _DURATION.fullmatch(text):
                raise SpecError(f"{name} must be a duration such as 40s, not {text}")
        try:
            Environment(self.variables).whole("HEALTH_RETRIES", 5, 1, 1000)
        except SettingsError as error:
            raise SpecError(str(error)) from None

    def _check_store(self) -> None:
        """Refuse a store, and settings of the nodes, with which no node could start."""
        environment = {
            "NODE_NAME": "node",  # without a name, a container asks the DNS for its own
            "SESSION_STORE": self.store,
            "REDIS_URL": self.store_url or "redis://redis:6379",
            "DATABASE_URL": self.store_url,
            "SESSION_SECRETS": "0" * 64,
            "USERS_FILE": "",
            **self.variables,
        }
        try:
            make_stores(Settings.from_environ(environment))
        except (SettingsError, ValueError) as error:
            text = str(error).splitlines()[0]
            about_url = self.store_url and not any(name in text for name in self.variables)
            raise SpecError(f"store_url is wrong: {text}" if about_url else text) from None


def parse_variables(texts: Iterable[str]) -> dict[str, str]:
    """Return variable -> value of `NAME=VALUE`; an empty value is that of stack.yaml. Raises SpecError."""
    variables: dict[str, str] = {}
    known = set(re.findall(r"\$\{([A-Z_]+)", STACK.read_text(encoding="utf-8")))
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise SpecError(f"--set must be NAME=VALUE, not {text!r}")
        if name not in known:
            hint = did_you_mean(name, known - set(_OPTIONS)) or ": see deploy/swarm/stack.yaml"
            raise SpecError(f"{name!r} is not a setting of the stack{hint}")
        if option := _OPTIONS.get(name) or ("the files of --state" if name.endswith(_VERSION) else ""):
            raise SpecError(f"--set cannot change {name}: it follows from {option}")
        variables[name] = value
    return variables


def choose_settings(
    asked: Mapping[str, Any], given: Collection[str], folder: Path, *, change_store: bool
) -> StackSettings:
    """Return the settings of a deployment: those that are `given`, those of the last one, and otherwise the asked.

    Of `variables`, each one is given by itself. Raises SpecError, also for another store without `change_store`:
    the sessions stay in the old one. Raises ClusterError for a file that cannot be read.
    """
    kept = _read_kept(folder)
    if kept.get("name", asked["name"]) != asked["name"]:
        raise SpecError(f"state {folder} is the folder of the stack {kept['name']}: name another folder")
    variables = {**kept.get("variables", {}), **asked["variables"]}
    merged = {
        **asked,
        **{name: value for name, value in kept.items() if name not in given},
        "variables": {name: value for name, value in variables.items() if value},
    }
    try:
        chosen = msgspec.convert(merged, StackSettings)
    except msgspec.ValidationError as error:
        raise ClusterError(f"{folder / KEPT} is damaged: {error}; remove it, and give all options again") from None
    if chosen.store_url and "store_machine" in given:
        raise SpecError("store_machine must be left out with --store-url: the stack has no Redis of its own then")
    if not change_store:
        _require_store(kept, chosen)
    return chosen


def write_settings(settings: StackSettings, folder: Path) -> None:
    """Keep the settings in `folder` for the next deployment. Raises ClusterError."""
    kept = {name: value for name, value in asdict(settings).items() if name not in _NOT_KEPT}
    try:
        write_json(folder / KEPT, kept, 0o600)
    except OSError as error:
        raise ClusterError(f"folder {folder} cannot be written: {error.strerror}") from error


def _read_kept(folder: Path) -> dict[str, Any]:
    """Return the settings of the last deployment with the folder; none before the first. Raises ClusterError."""
    path = folder / KEPT
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=dict[str, Any]) if path.exists() else {}
        msgspec.convert(kept.get("variables", {}), dict[str, str])
        has_url = (folder / STORE_URL).exists()  # also where only the settings are gone
        urls = [(folder / each).read_text(encoding="utf-8") for each in (STORE_URL, OWN_URL)] if has_url else ["", ""]
    except OSError as error:
        raise ClusterError(f"folder {folder} cannot be read: {error.strerror}") from error
    except (ValueError, msgspec.MsgspecError) as error:
        raise ClusterError(f"{path} is damaged: {error}; remove it, and give all options again") from None
    used, own = urls
    is_own = used.rpartition("@")[2] == own.rpartition("@")[2]  # whatever its password is now
    return {**kept, "store_url": "" if is_own else used} if used else kept


def _require_store(kept: Mapping[str, Any], chosen: StackSettings) -> None:
    """Raise SpecError where the sessions would be in another store than those of the last deployment."""
    consequence = "names another store, which has none of the sessions: add --change-store if that is intended"
    if chosen.store_url != kept.get("store_url", chosen.store_url):
        raise SpecError(f"store_url {consequence}")
    if chosen.store_machine != kept.get("store_machine", chosen.store_machine):
        raise SpecError(f"store_machine {consequence}")


def _parse_size(name: str, text: str) -> int:
    """Return a size in bytes, as the engine reads it. Raises SpecError."""
    size = _SIZE.fullmatch(text)
    if not size:
        raise SpecError(f"{name} must be a size such as 512M, not {text}")
    return int(float(size[1]) * _UNITS[size[2].lower()])
