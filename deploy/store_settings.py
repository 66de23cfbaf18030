"""How the Redis or Valkey of a cluster is run."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class StoreSettings:
    """What differs from a store that keeps nothing on disk."""

    append_only: bool = False
    """Whether each server writes a log of all writes to disk every second, and has them again after a restart."""
    max_memory: str = "256mb"
    """When a server is full: it refuses writes then."""
