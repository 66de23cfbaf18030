"""Ports on 127.0.0.1: free ones, and who holds one that is not."""

import errno
import secrets
import socket
from contextlib import suppress

import psutil

from deploy.spec import ClusterError

# Below what Linux (32768) and macOS (49152) give to outgoing connections. One of those, of the load generator say,
# would otherwise sit on a node's port while the node is down, and the node could not come back to it.
_FIRST, _LAST = 10_000, 32_000
_ATTEMPTS = 200


def free_ports(count: int) -> list[int]:
    """Different ports that nobody listens on at this moment. Somebody else may still be faster: try again then."""
    chosen: set[int] = set()
    for _ in range(_ATTEMPTS + count):
        port = _FIRST + secrets.randbelow(_LAST - _FIRST)
        if port not in chosen and not is_taken(port):
            chosen.add(port)
            if len(chosen) == count:
                return sorted(chosen)
    raise ClusterError(f"no {count} free ports between {_FIRST} and {_LAST}")


def is_taken(port: int) -> bool:
    """Whether 127.0.0.1:port cannot be listened on. Raises ClusterError where this user may not have it at all."""
    with socket.socket() as candidate:
        # As servers do it: connections of the one before that still wait for their end are in nobody's way.
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
    """Raises ClusterError, with the holder's name where that can be known, if 127.0.0.1:port is taken."""
    if is_taken(port):
        holder = _holder(port)
        by = f" by {holder}" if holder else ""
        raise ClusterError(f"port {port} is taken{by}: choose another with {option}, or end that one")


def _holder(port: int) -> str | None:
    with suppress(psutil.Error, OSError):  # macOS tells only root who listens; the message does without, then.
        for connection in psutil.net_connections("tcp"):
            if connection.status != psutil.CONN_LISTEN or not connection.laddr or not connection.pid:
                continue
            if connection.laddr.port == port:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return None
