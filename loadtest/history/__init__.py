"""Histories: one file per run with every operation of every virtual user. The checker and the report read it.

The format is described in docs/history.md.
"""

from loadtest.history.events import (
    GAVE_UP,
    RENEWALS,
    STOPPED,
    VERSION,
    Action,
    End,
    Event,
    Header,
    Mark,
    Note,
    Op,
    OpOutcome,
    Probe,
    now,
    when,
)
from loadtest.history.reader import EventsOf, Follower, HistoryError, Truncated, read, read_part
from loadtest.history.writer import PartWriter, Writer, assemble

__all__ = [
    "GAVE_UP",
    "RENEWALS",
    "STOPPED",
    "VERSION",
    "Action",
    "End",
    "Event",
    "EventsOf",
    "Follower",
    "Header",
    "HistoryError",
    "Mark",
    "Note",
    "Op",
    "OpOutcome",
    "PartWriter",
    "Probe",
    "Truncated",
    "Writer",
    "assemble",
    "now",
    "read",
    "read_part",
    "when",
]
