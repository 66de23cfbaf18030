"""Runs of experiments without clusters and load: the stages are told as the runner does, and results are written."""

import threading
from collections.abc import Callable, Iterator

import pytest

from loadtest.claims.claim import Verdict
from loadtest.progress import Status
from loadtest.results import Result
from loadtest.suite import Suite
from tests.support.report_results import Run

STEPS = ("starting", "users arrive", "steady", "apply: kill node-2", "watch", "undo", "steady again", "checking")


class Script:
    """In the place of the runs of a suite: each stage is told once, and the watch waits until the test lets it go."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.verdict = Verdict.HOLDS
        self.undone = 0

    def run(self, suite: Suite, watch: Callable[[Status], None]) -> Iterator[Result]:
        status = Status("", 0, len(suite.cases))
        for number, case in enumerate(suite.cases, 1):
            status.title, status.number, status.findings = case.heading, number, None
            with suite.clusters[case.place](case.spec):
                for step in STEPS:
                    status.enter(step)
                    self._tell(status, watch)
                run = Run(
                    name=case.experiment.name,
                    number=case.experiment.number,
                    variant=case.variant.name,
                    run=suite.first,
                    verdict=self.verdict,
                    title=case.title,
                )
                yield run.write(suite.folder)

    def _tell(self, status: Status, watch: Callable[[Status], None]) -> None:
        try:
            watch(status)
            while status.stage == "watch" and not self.go_on.wait(0.02):
                watch(status)
        except Exception:
            self.undone += 1
            raise


@pytest.fixture(name="script")
def scripted_suite(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    """The script of all suites."""
    script = Script()
    monkeypatch.setattr(Suite, "run", lambda suite, watch: script.run(suite, watch))
    yield script
    script.go_on.set()
