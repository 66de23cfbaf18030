"""Sessions in Redis or Valkey: one server, Sentinels or a Redis Cluster."""

from .client import connect
from .durability import Durability
from .outage import Outage, OutagePolicy
from .store import RedisStore

__all__ = ["Durability", "Outage", "OutagePolicy", "RedisStore", "connect"]
