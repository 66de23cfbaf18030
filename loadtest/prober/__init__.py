"""The independent prober: a process that sends requests at a fixed rate, whatever the answers take."""

from loadtest.prober.client import Prober, ProberError, cookie_of
from loadtest.prober.process import Target

__all__ = ["Prober", "ProberError", "Target", "cookie_of"]
