"""The proxy's configuration in containers, as setup writes it at a start and `ComposeCluster` while it runs."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from proxy import ProxySettings, Server

PORT = 8080
TLS_PORT = 8443
NODE_PORT = 8000
ALL_NODES = Server(f"node:{NODE_PORT}", resolve=True)
"""Docker's DNS answers with the address of each node, again and again."""
EXPRESS = Server(f"express:{NODE_PORT}", resolve=True)
"""Where the nodes share their sessions with it; no such name is known where it does not run."""
HOSTS = ("127.0.0.1", "localhost", "proxy")
""""proxy" is what other containers call it."""
RUNTIME = Path("/tmp")  # noqa: S108 - the container's own, in memory
"""A folder that the image has: where an engine mounts a tmpfs that the image knows nothing of, it forgets the mode at
the second start (seen with runc 1.1)."""
_DOCKER_DNS = "127.0.0.11"
# A node that has just been started is in the DNS before it listens. Refused connections cost no time, so a request may
# try more nodes than are likely to be starting at once.
_TRIES = 5


def container_settings(servers: Sequence[Server] = (ALL_NODES,), **changes: object) -> ProxySettings:
    """What holds for every proxy in a container; `changes` are other fields of ProxySettings. Raises
    ProxySettingsError."""
    settings = ProxySettings(
        servers=tuple(servers),
        listen=f"0.0.0.0:{PORT}",
        hosts=HOSTS,
        runtime_dir=RUNTIME,
        access_log="/dev/stdout",
        error_log="stderr",
        resolver=_DOCKER_DNS,
        tries=_TRIES,
    )
    return replace(settings, **changes)  # type: ignore[arg-type]
