"""What a history proves: pure code over the file alone, and claims about what was found."""

from loadtest.checker.check import check
from loadtest.checker.findings import Availability, Evidence, Findings, Kind, PhaseFigures, Window

__all__ = ["Availability", "Evidence", "Findings", "Kind", "PhaseFigures", "Window", "check"]
