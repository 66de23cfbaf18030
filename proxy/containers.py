"""The settings of an nginx in a container, whose nodes are found by name: of compose, and of Kubernetes."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from proxy.settings import ProxySettings, UpstreamServer

PORT = 8080
RUNTIME_DIR = Path("/tmp")  # noqa: S108 - the container's own, in memory
"""A folder of the image. For a tmpfs on a folder that the image lacks, the engine forgets the mode at the second start
(seen with runc 1.1)."""
DOCKER_DNS = "127.0.0.11"
_HOSTS = ("127.0.0.1", "localhost", "proxy")
""""proxy" is its name for other containers."""
# A node that has just been started is in the DNS before it listens. Refused connections cost no time, so a request may
# try more nodes than are likely to be starting at once.
_TRIES = 5


def container_settings(
    servers: Sequence[UpstreamServer], resolver: str = DOCKER_DNS, **changes: object
) -> ProxySettings:
    """Return the settings of every proxy in a container. `changes` are other fields of ProxySettings.

    `servers` are one name with `resolve` for all nodes, or a list of addresses. Raises ProxySettingsError.
    """
    settings = ProxySettings(
        servers=tuple(servers),
        listen=f"0.0.0.0:{PORT}",
        hosts=_HOSTS,
        runtime_dir=RUNTIME_DIR,
        access_log="/dev/stdout",
        error_log="stderr",
        resolver=resolver,
        tries=_TRIES,
    )
    return replace(settings, **changes)  # type: ignore[arg-type]
