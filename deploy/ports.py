"""Free ports on 127.0.0.1, and the process at a taken port."""

import errno
import secrets
import socket
from contextlib import suppress

import psutil

from deploy.spec import ClusterError

# Below the ephemeral ports of Linux (from 32768) and macOS (from 49152). Otherwise a connection of the load generator
# could take a node's port while the node is down, and the node could not start at it again.
_FIRST, _LAST = 10_000, 32_000
_ATTEMPTS = 200


def free_ports(count: int) -> list[int]:
    """Return different ports that are free at this moment. Another process may still take one: try again then."""
    chosen: set[int] = set()
    for _ in range(_ATTEMPTS + count):
        port = _FIRST + secrets.randbelow(_LAST - _FIRST)
        if port not in chosen and not is_taken(port):
            chosen.add(port)
            if len(chosen) == count:
                return sorted(chosen)
    raise ClusterError(f"no {count} free ports between {_FIRST} and {_LAST}")


def is_taken(port: int) -> bool:
    """Return whether another process listens on 127.0.0.1:port. Raises ClusterError if this user may not listen."""
    with socket.socket() as candidate:
        # Set as servers do, because connections of an earlier server may still be closing.
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind(("127.0.0.1", port))
            candidate.listen(1)
        except PermissionError as error:
            raise ClusterError(f"port {port} needs more rights than yours: choose one from 1024") from error
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise ClusterError(f"port {port} cannot be listened on: {error.strerror}") from error
            return True
    return False


def require_free(port: int, option: str = "--port") -> None:
    """Raise ClusterError, with the name of the process where it is known, if 127.0.0.1:port is taken."""
    if is_taken(port):
        holder = _holder(port)
        by = f" by {holder}" if holder else ""
        raise ClusterError(f"port {port} is taken{by}: choose another with {option}, or end that process")


def _holder(port: int) -> str | None:
    with suppress(psutil.Error, OSError):  # macOS shows listeners only to root
        for connection in psutil.net_connections("tcp"):
            if connection.status != psutil.CONN_LISTEN or not connection.laddr or not connection.pid:
                continue
            if connection.laddr.port == port:
                process = psutil.Process(connection.pid)
                # Workers inherit the socket, and the process that started them would replace them.
                while (parent := process.parent()) and _listens(parent, port):
                    process = parent
                return f"{process.name()} (pid {process.pid})"
    return None


def _listens(process: psutil.Process, port: int) -> bool:
    with suppress(psutil.Error):  # other users' processes do not show theirs
        connections = process.net_connections("tcp")
        return any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in connections)
    return False
