"""What processes use at the end of a long run, and whether that is as at its beginning."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import msgspec
import pytest

from deploy import ClusterSpec, Member, MemberState, Role
from loadtest.checker import PhaseFigures, check
from loadtest.claims.claim import Observed, Timing, Verdict
from loadtest.claims.endurance import as_at_the_beginning
from loadtest.history import End
from loadtest.processes import RUNNER, ProcessChange, ProcessUsage, compare, measure
from tests.support.fake_cluster import FakeCluster

CLAIM = as_at_the_beginning("before", "after", 600)
USAGE = ProcessUsage(memory=100.0, descriptors=50, threads=10, processes=3)
LONG = Timing(started=0, before=0, fault=60, faulty=60, undo=540, undone=540, ended=600)


def change(name: str = "node-1", role: Role | None = Role.NODE, begin: int = 50, **end: float) -> ProcessChange:
    usage = msgspec.structs.replace(USAGE, **end)
    return ProcessChange(name=name, role=role, begin=msgspec.structs.replace(USAGE, descriptors=begin), end=usage)


def observed(*processes: ProcessChange, timing: Timing = LONG, p50: float = 10.0, p99: float = 100.0) -> Observed:
    phases = {
        "before": PhaseFigures(seconds=60, operations=1000, p50=10.0, p99=100.0),
        "after": PhaseFigures(seconds=60, operations=1000, p50=p50, p99=p99),
    }
    findings = msgspec.structs.replace(check([End(0, 0)]), phases=phases)
    return Observed(findings, timing=timing, processes=processes or (change(),))


@pytest.mark.parametrize(
    ("seen", "verdict", "words"),
    [
        (observed(), Verdict.HOLDS, "1 processes, memory by +0.0 MB at most; p99 100 ms, then 100 ms"),
        (observed(change(memory=130.0)), Verdict.HOLDS, "+30.0 MB"),
        (observed(change(memory=130.1)), Verdict.BROKEN, "node-1 has 130.1 MB, and had 100; expected 20% and 10 more"),
        (observed(change(descriptors=70)), Verdict.HOLDS, ""),
        (observed(change(descriptors=71)), Verdict.BROKEN, "node-1 has 71 descriptors, and had 50"),
        (observed(change(threads=17)), Verdict.HOLDS, ""),
        (observed(change(threads=18)), Verdict.BROKEN, "node-1 has 18 threads, and had 10"),
        (observed(p50=25.0, p99=160.0), Verdict.HOLDS, ""),
        (observed(p50=25.1), Verdict.BROKEN, "p50 is 25 ms, and was 10 ms; expected 50% and 10 ms more"),
        (observed(p99=160.1), Verdict.BROKEN, "p99 is 160 ms, and was 100 ms"),
    ],
)
def test_the_end_is_compared_with_the_beginning(seen: Observed, verdict: Verdict, words: str) -> None:
    result = CLAIM.check(seen)
    assert result.verdict is verdict
    assert words in (result.seen or result.reason)


def test_connections_that_move_to_another_primary_are_no_growth() -> None:
    stores = (change("store-1", Role.STORE, 100, descriptors=20), change("store-2", Role.STORE, 20, descriptors=100))
    assert CLAIM.check(observed(*stores)).holds
    leak = change("store-2", Role.STORE, 20, descriptors=145)
    assert "the store has 165 descriptors, and had 120" in CLAIM.check(observed(stores[0], leak)).reason


def test_a_short_run_and_one_without_an_end_are_not_compared() -> None:
    short = msgspec.structs.replace(LONG, ended=500)
    assert CLAIM.check(observed(change(memory=900.0), timing=short)).seen.startswith("not compared: the run took 500 s")
    ended_early = Observed(check([End(0, 0)]), timing=LONG)
    assert CLAIM.check(ended_early).reason == "the run ended before its last quiet phase"


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    """A process with a child, whose id it prints."""
    script = "import os, sys; os.fork(); print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.readline()
        yield process


def test_a_process_is_measured_with_its_children(
    other: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Member("node-1", Role.NODE, "127.0.0.1:1", other.pid, "", MemberState.RUNNING)
    ended = Member("node-2", Role.NODE, "127.0.0.1:2", None, "", MemberState.ENDED)
    cluster = FakeCluster(ClusterSpec())
    monkeypatch.setattr(cluster, "members", lambda: (node, ended))
    begin = measure(cluster, {"prober": os.getpid()})
    assert list(begin) == [RUNNER, "prober", "node-1"]
    assert begin["node-1"].usage.processes == 2
    assert begin["node-1"].usage.memory > 1
    with tempfile.TemporaryFile(), tempfile.TemporaryFile():
        changes = {one.name: one for one in compare(begin, measure(cluster, {}))}
    assert "prober" not in changes
    assert changes[RUNNER].end.descriptors - changes[RUNNER].begin.descriptors == 2
    assert not changes["node-1"].replaced


def test_a_process_that_a_fault_replaced_is_told(
    other: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = FakeCluster(ClusterSpec())
    monkeypatch.setattr(cluster, "members", lambda: ())
    begin = measure(cluster, {"prober": os.getpid()})
    end = measure(cluster, {"prober": other.pid})
    assert [one.replaced for one in compare(begin, end)] == [False, True]
