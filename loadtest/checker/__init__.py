"""What a history proves about sessions: pure code over its events alone."""

from loadtest.checker.check import HORIZON, Checker, check
from loadtest.checker.findings import Availability, Evidence, Findings, Kind, PhaseFigures, Row, Window

__all__ = [
    "HORIZON",
    "Availability",
    "Checker",
    "Evidence",
    "Findings",
    "Kind",
    "PhaseFigures",
    "Row",
    "Window",
    "check",
]
