"""The independent prober: a process that sends requests at a fixed rate, however long answers take."""

from loadtest.prober.client import Endpoint, Prober, ProberError

__all__ = ["Endpoint", "Prober", "ProberError"]
