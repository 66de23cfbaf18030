"""What a history proves: pure code over the file alone, and claims about what was found."""

from loadtest.checker.check import Checker, check
from loadtest.checker.findings import Availability, Evidence, Findings, Kind, PhaseFigures, Row, Window

__all__ = ["Availability", "Checker", "Evidence", "Findings", "Kind", "PhaseFigures", "Row", "Window", "check"]
