"""The history of a run while it grows: written, followed, checked and assembled."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from loadtest.checker import Checker, Findings
from loadtest.history import End, Follower, Header, Mark, Note, Op, PartWriter, assemble
from loadtest.prober.client import Prober
from loadtest.results import HISTORY

_FINDINGS_INTERVAL = 0.3


class HistoryRun:
    """The history of a run while it grows: the parts of the generator, marks, probes, and the checker on them.

    `watch` is called with each operation when it is read. Findings take at most this `share` (0 to 1) of the time.
    `keep` is how many bytes of what was read of each part stay on disk: the history is the end then, and with 0 it
    can't be finished. None: everything stays.
    """

    def __init__(
        self,
        folder: Path,
        header: Header,
        parts: Sequence[Path],
        *,
        watch: Callable[[Op], None] | None = None,
        share: float = 0.1,
        keep: int | None = None,
    ) -> None:
        self._folder, self._header, self._watch, self._share, self._keep = folder, header, watch, share, keep
        marks, probes = folder / "marks.jsonl", folder / "probes.jsonl"
        self._paths = (marks, probes, *parts)
        self._marks, self._probes = PartWriter(marks), PartWriter(probes)
        self._follower = Follower(*self._paths)
        self._checker = Checker()
        self._checker.feed(header)
        self._findings, self._due = self._checker.findings(), 0.0

    @property
    def logged_out_at(self) -> Mapping[int, int]:
        """Of the newest findings, by second: answers to users who were found logged out, in the last two minutes."""
        return self._checker.logged_out_at

    def write(self, event: Mark | Note) -> None:
        self._marks.write(event)
        self._marks.flush()

    def read(self, prober: Prober | None) -> Findings:
        """Return the findings so far."""
        self._take_probes(prober)
        self._feed()
        if time.monotonic() >= self._due:
            begin = time.thread_time()  # which does not grow while other programs have the machine
            self._findings = self._checker.findings()
            cost = time.thread_time() - begin
            self._due = time.monotonic() + max(_FINDINGS_INTERVAL, cost / self._share)
        return self._findings

    def finish(self, prober: Prober | None) -> Findings:
        """Assemble the history when all writers have ended, and return its findings. Raises HistoryError."""
        self._take_probes(prober)
        self._marks.close()
        self._probes.close()
        self._feed()
        since, events = self._follower.kept()
        assemble(self._folder / HISTORY, msgspec.structs.replace(self._header, since=since), *events)
        self._checker.feed(End(ops=0, probes=0))  # which the reader alone compares
        return self._checker.findings()

    def remove_parts(self) -> None:
        for path in (*self._paths, self._folder / "locust.log"):
            path.unlink(missing_ok=True)

    def _feed(self) -> None:
        for event in self._follower.poll():
            self._checker.feed(event)
            if self._watch is not None and isinstance(event, Op):
                self._watch(event)
        if self._keep is not None:
            self._follower.forget(self._keep)

    def _take_probes(self, prober: Prober | None) -> None:
        if prober is not None:
            for probe in prober.take():
                self._probes.write(probe)
            self._probes.flush()
