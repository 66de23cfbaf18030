"""The checker: what a history proves about sessions. Pure code over its events alone."""

from loadtest.checker.check import HORIZON, Checker, check, list_losses
from loadtest.checker.findings import Availability, Evidence, Findings, Kind, Losses, PhaseFigures, Row, Window

__all__ = [
    "HORIZON",
    "Availability",
    "Checker",
    "Evidence",
    "Findings",
    "Kind",
    "Losses",
    "PhaseFigures",
    "Row",
    "Window",
    "check",
    "list_losses",
]
