"""Sessions in Redis or Valkey: one server, Sentinels or a Redis Cluster."""

from .client import connect
from .outage import Durability, Outage, OutagePolicy
from .store import RedisStore

__all__ = ["Durability", "Outage", "OutagePolicy", "RedisStore", "connect"]
