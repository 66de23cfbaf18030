"""What a node is called when nobody told it."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from pathlib import Path

_ENGINE_DNS = ("127.0.0.11", 53)
_DNS_TIMEOUT = 0.5
_REPLICA = re.compile(r"(?:^|[-_])(node)[-_](\d+)(?:\.|$)")


def _reverse_name() -> str:
    """The name that the engine's DNS has for the own address; an empty one where it has none.

    It is asked directly: the system's resolver finds the address in /etc/hosts first, with the host name.
    """
    try:
        labels = ".".join(reversed(socket.gethostbyname(socket.gethostname()).split(".")))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(_DNS_TIMEOUT)
            client.connect(_ENGINE_DNS)
            client.send(_question(f"{labels}.in-addr.arpa"))
            return _first_pointer(client.recv(512))
    except (OSError, IndexError, ValueError):
        return ""


def _question(name: str) -> bytes:
    """A DNS query for the PTR record of a name (RFC 1035, 4.1)."""
    encoded = b"".join(bytes([len(label)]) + label.encode("ascii") for label in name.split("."))
    header = (0).to_bytes(2, "big") + b"\x01\x00" + b"\x00\x01" + b"\x00\x00" * 3
    return header + encoded + b"\x00" + b"\x00\x0c" + b"\x00\x01"


def _first_pointer(answer: bytes) -> str:
    """The name in the first record of an answer. Raises IndexError or ValueError where there is none."""
    if not int.from_bytes(answer[6:8], "big"):
        return ""
    _, at = _labels(answer, 12)
    _, at = _labels(answer, at + 4)
    name, _ = _labels(answer, at + 10)
    return name


def _labels(message: bytes, at: int) -> tuple[str, int]:
    """The name at this offset, and where what follows it begins. A pointer ends it (its target is not needed here)."""
    labels = []
    while (length := message[at]) and length < 0xC0:
        labels.append(message[at + 1 : at + 1 + length].decode("ascii"))
        at += 1 + length
    return ".".join(labels), at + (2 if length else 1)


def _in_container() -> bool:
    return Path("/.dockerenv").exists() or Path("/run/.containerenv").exists()


def default_name(
    host: Callable[[], str] = socket.gethostname,
    reverse: Callable[[], str] = _reverse_name,
    in_container: Callable[[], bool] = _in_container,
) -> str:
    """`node-2` in the second replica of a compose service, the host name elsewhere.

    A replica can't be told its number by the compose file, but the engine's DNS knows it: the address of a replica
    resolves to `<project>-node-2.<network>`. Outside containers nothing is resolved, since that could take seconds.
    """
    replica = _REPLICA.search(reverse()) if in_container() else None
    return f"node-{replica[2]}" if replica else host()
