"""Subnets for networks of containers with fixed addresses, one for each project that runs beside others."""

import secrets

OVERLAPS = ("Pool overlaps", "networks have overlapping IPv4")
"""What the engine says of a subnet that another of its networks has."""


def any_subnet() -> str:
    """The first three parts of one of 512 in 198.18.0.0/15, which is set aside for measurements: no network that a
    machine has to reach is there. Somebody else may have it: try again then."""
    return f"198.{18 + secrets.randbelow(2)}.{secrets.randbelow(256)}"
