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
    import dns.exception  # here, because it takes a tenth of a second and only containers need it
    import dns.resolver

    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = [_ENGINE_DNS[0]], _ENGINE_DNS[1]
    try:
        own_address = socket.gethostbyname(socket.gethostname())
        return str(resolver.resolve_address(own_address, lifetime=_DNS_TIMEOUT)[0].target)
    except (dns.exception.DNSException, OSError):
        return ""


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
