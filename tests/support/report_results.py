"""Folders of results as `loadtest.suite` writes them, with generated histories."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from deploy.files import write_json
from loadtest.checker import check
from loadtest.claims.claim import ClaimResult, Timing, Verdict
from loadtest.evidence_requests import list_requests
from loadtest.experiment import Place, make_case_name
from loadtest.history import VERSION, Action, Event, EventsOf, Header, Mark, Op, OpOutcome, Probe, assemble, read
from loadtest.load_profile import Mix
from loadtest.results import HISTORY, RESULT, Result

BEGAN = 1_800_000_000.0
"""When the phase before the fault begins. The fault comes 4 s later and is undone at 8, the run ends at 12."""


def look(
    second: float, node: str = "node-1", outcome: OpOutcome = OpOutcome.OK, took: float = 0.01, **shown: Any
) -> Op:
    """Return a GET /me that ended `second` seconds after `BEGAN`."""
    status, error = {OpOutcome.OK: (200, ""), OpOutcome.FAIL: (0, "refused")}.get(outcome, (502, "status 502"))
    given: dict[str, Any] = {
        "who": "visitor-1", "account": "alice", "session": "visitor-1#1", "action": Action.LOOK, "outcome": outcome,
        "method": "GET", "path": "/me", "status": status, "error": error,
        "node": node if outcome is OpOutcome.OK else "", "started": BEGAN + second - took, "ended": BEGAN + second,
    }  # fmt: skip
    return Op(**{**given, **shown})


@dataclass(frozen=True)
class Run:
    """A run of an experiment, with a GET /me every tenth of a second."""

    name: str = "kill-node"
    number: int = 2
    variant: str = ""
    run: int = 1
    node: str = "flask"
    place: Place = Place.LOCAL
    verdict: Verdict = Verdict.HOLDS
    title: str = "kill a node, shared store"
    fault: str = "kill node-2"
    failed: int = 0
    lost: int = 0
    """Answers at the end that find the user logged out, after a login at the begin."""
    gap: float = 0.0

    def write(self, folder: Path) -> Result:
        place = folder / make_case_name(self.name, self.variant, self.node, self.place) / str(self.run)
        place.mkdir(parents=True)
        header = Header(version=VERSION, title=self.title, started=BEGAN)
        assemble(place / HISTORY, header, self._ops(), self._probes(), self._marks())
        result = self._result(list(read(place / HISTORY)))
        if result.findings is not None:
            requests = list_requests(result.findings, EventsOf(place / HISTORY, Op))
            result = msgspec.structs.replace(result, requests=requests)
        write_json(place / RESULT, result)
        return result

    def _ops(self) -> Iterator[Event]:
        for tenth in range(1, 120):
            second = tenth / 10
            bad = 40 <= tenth < 40 + self.failed
            node = f"node-{tenth % 3 + 1}" if not 40 <= tenth < 80 else f"node-{tenth % 2 * 2 + 1}"
            shown: dict[str, Any] = {"user": None if tenth >= 120 - self.lost else "alice"} if self.lost else {}
            if self.lost and tenth == 1:
                shown |= {"action": Action.LOGIN, "method": "POST", "path": "/login"}
            yield look(second, node, OpOutcome.UNKNOWN if bad else OpOutcome.OK, **shown)

    def _probes(self) -> Iterator[Event]:
        for number in range(240):
            at = BEGAN + number * 0.05
            good = not BEGAN + 4 <= at < BEGAN + 4 + self.gap
            outcome, status = (OpOutcome.OK, 200) if good else (OpOutcome.FAIL, 0)
            yield Probe(target="session", started=at, ended=at + 0.005, outcome=outcome, status=status)

    @staticmethod
    def _marks() -> Iterator[Event]:
        for second, name in ((0, "before"), (4, "during"), (4, "fault"), (8, "undo"), (8.01, "after"), (12, "end")):
            yield Mark(BEGAN + second, name)

    def _result(self, events: list[Event]) -> Result:
        return Result(
            number=self.number, name=self.name, variant=self.variant, position=0, run=self.run, title=self.title,
            hypothesis="Any node can die.", reference="0 lost", fault=self.fault, mix=Mix.EVERYDAY, place=self.place,
            users=1, verdict=self.verdict, reason="" if self.verdict is Verdict.HOLDS else "two GETs failed <b>",
            claims=(ClaimResult(claim="no GET fails", verdict=self.verdict, seen="0 of 119 GETs failed"),),
            timing=Timing(started=BEGAN - 2, before=BEGAN, fault=BEGAN + 4, faulty=BEGAN + 4.1, undo=BEGAN + 8,
                          undone=BEGAN + 8.1, ended=BEGAN + 12),
            findings=check(events), generator_cpu=0.2, cluster={"nodes": 3, "store": "redis", "node": self.node},
            versions={"nginx": "1.31.3", "python": "3.13"}, machine={"cores": 2},
            command=f"session-cluster failover run {self.name}",
        )  # fmt: skip
