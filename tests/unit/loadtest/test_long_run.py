"""A long run is followed, checked, finished and evaluated in memory and disk that do not grow with it."""

import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path

import pytest

from deploy import StoreKind
from loadtest.checker import check
from loadtest.claims.availability import failures_end_within
from loadtest.claims.claim import Observed, Timing
from loadtest.experiment import AFTER, BEFORE
from loadtest.history import EventsOf, Header, Op, PartWriter, Probe, assemble, read
from loadtest.history_run import HistoryRun
from loadtest.random_faults import make_schedule
from loadtest.results import HISTORY
from tests.support.checker_script import everyday

KEEP = 128 * 1024
HEADER = Header(version=2, title="long", started=0.0)
TIMING = Timing(started=0.0, before=0.0, fault=0.0, faulty=0.0, undo=1e9, undone=1e9, ended=1e9)


@contextmanager
def tracing() -> Iterator[Callable[[], tuple[int, int]]]:
    """Yield what returns the traced memory: now and at its peak."""
    tracemalloc.start()
    try:
        yield tracemalloc.get_traced_memory
    finally:
        tracemalloc.stop()


def test_neither_memory_nor_disk_grow_with_the_number_of_operations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loadtest.history.reader._WORTH_FORGETTING", KEEP // 4)
    monkeypatch.setattr("loadtest.history.reader.CHUNK", KEEP // 4)
    ops = [event for event in everyday(4, 1_000, broken=False) if isinstance(event, Op)]
    part = tmp_path / "part-1.jsonl"
    run = HistoryRun(tmp_path, HEADER, [part], keep=KEEP)
    sizes: list[tuple[int, int]] = []
    writer = PartWriter(part)
    with tracing() as memory:
        for number, op in enumerate(ops, 1):
            writer.write(op)
            if number % 500 == 0:
                writer.flush()
                run.read(None)
            if number in (1_000, 4_000):
                sizes.append((memory()[0], part.stat().st_blocks * 512))
        tracemalloc.reset_peak()
        writer.close()
        assert run.finish(None).total.operations == len(ops)
        assert memory()[1] < sizes[0][0] + 2_000_000
    (first, first_on_disk), (last, last_on_disk) = sizes
    assert last < first * 1.1 + 100_000
    if last_on_disk < part.stat().st_size:  # a file system that can give the beginning of a file back
        assert last_on_disk < first_on_disk + 2 * KEEP
    header, *kept = read(tmp_path / HISTORY)
    assert isinstance(header, Header)
    assert header.since is not None
    assert not check([header, *kept]).total.found


def test_the_evaluation_of_a_run_holds_no_list_of_its_operations(tmp_path: Path) -> None:
    op = next(event for event in everyday(1, 1, broken=False) if isinstance(event, Op))
    history = tmp_path / HISTORY
    assemble(history, HEADER, repeat(op, 20_000))
    seen = Observed(check([]), EventsOf(history, Op), EventsOf(history, Probe), TIMING)
    with tracing() as memory:
        assert not failures_end_within(1.0).check(seen).holds
        assert memory()[1] < 8_000_000


def test_the_phases_of_a_long_run_are_those_of_the_kinds_of_faults() -> None:
    phases = make_schedule(StoreKind.REDIS_HA, 1, 20_000)
    assert len(phases) > 4_000
    assert len({phase.name for phase in phases}) < 80


def test_a_long_run_begins_and_ends_with_a_quiet_phase_that_is_measured() -> None:
    first, *others, last = make_schedule(StoreKind.REDIS_HA, 1, 600)
    assert (first.name, last.name, first.seconds, last.seconds) == (BEFORE, AFTER, 120.0, 60.0)
    assert first.measured
    assert last.measured
    assert not any(phase.measured for phase in others)
