"""Histories: every operation of every virtual user of a run in one file, which the checker and the report read.

The format is described in docs/history.md.
"""

from loadtest.history.clock import now
from loadtest.history.events import STOPPED, VERSION, Action, End, Event, Header, Mark, Note, Op, Outcome, Probe, when
from loadtest.history.reader import HistoryError, Truncated, read
from loadtest.history.writer import Writer, assemble

__all__ = [
    "STOPPED",
    "VERSION",
    "Action",
    "End",
    "Event",
    "Header",
    "HistoryError",
    "Mark",
    "Note",
    "Op",
    "Outcome",
    "Probe",
    "Truncated",
    "Writer",
    "assemble",
    "now",
    "read",
    "when",
]
