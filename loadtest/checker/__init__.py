"""The checker: what a history proves about sessions. Pure code over its events alone.

`check.py` takes the events and returns the findings. `session.py` evaluates who is logged in to a session (lost,
revived, crossed), `counter.py` its values (lost updates, stale reads), `account.py` passwords and ends by other
sessions. What they prove is counted in `figures.py`; `findings.py` has the types of the result.
"""

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
