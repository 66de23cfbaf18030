"""The sheet: its width, its sources, its last lines."""

import io
import shlex
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from loadtest.capacity.figures import Figure, Part, RequestKind
from loadtest.capacity.run import CapacityError, describe, plan_from
from loadtest.capacity.sheet import describe_limits, make_lines, make_record, read_record, show_sheet
from tests.unit.loadtest.capacity.figures import MACHINE, READ, WORKLOAD, make_plan
from tests.unit.loadtest.test_cli import invoke

SQL: dict[str, Any] = {
    "demands": {part: costs for part, costs in MACHINE.demands.items() if part is not Part.STORE},
    "writer_seconds": Figure((0.001,)),
    "resync_seconds": None,
    "token_bytes": 0.0,
}


WHERE = {"cpu": "x", "cores": 2, "system": "Linux", "release": "6.1", "at": "2026-11-28 02:00"}


def printed(shown: Any) -> str:
    out = io.StringIO()
    Console(file=out, width=80).print(shown)
    return out.getvalue()


def words(shown: Any) -> str:
    return " ".join(printed(shown).split())


@pytest.mark.parametrize("store", ["redis", "redis-cluster", "sql"])
def test_each_figure_has_a_source_within_80_columns(store: str) -> None:
    plan = make_plan(store, figures=SQL if store == "sql" else None)
    assert all(line.source and line.shown for line in make_lines(plan))
    shown = printed(show_sheet(plan, "a machine"))
    assert max(map(len, shown.splitlines())) <= 80
    assert "…" not in shown
    assert "Not valid for" in shown
    assert "a machine" in shown
    names = [line.name for line in make_lines(plan)]
    assert len(set(names)) == len(names)


def test_the_first_limit_of_a_plan_is_named_with_the_next_ones() -> None:
    text = describe_limits(make_plan())
    assert text.startswith("Limits first: memory of a primary, at 10.9M sessions (then: CPU 13.3M, ")
    assert text.index("CPU") < text.index("buffer for a replica") < text.index("network")
    assert "Most of the" in text


def test_a_store_that_does_not_carry_it_says_what_does() -> None:
    plan = make_plan("redis")
    assert "Choose --store redis-cluster" in describe_limits(plan)
    assert f"1 (of {plan.needed_primaries} needed)" in printed(show_sheet(plan, ""))
    assert "Choose --store redis." in describe_limits(make_plan("sql", figures=SQL))
    assert "carry" not in describe_limits(make_plan("redis-cluster"))


def test_a_busy_machine_makes_the_sheet_say_so() -> None:
    assert "Measure on a quiet one" not in words(show_sheet(make_plan(), ""))
    assert "Measure on a quiet one" in words(show_sheet(make_plan(figures={"foreign_share": 0.4}), ""))


@pytest.mark.parametrize("store", ["redis", "sql"])
def test_the_record_has_every_line_and_is_read_again(store: str, tmp_path: Path) -> None:
    plan = make_plan(store, figures=SQL if store == "sql" else None)
    path = tmp_path / "sheet.json"
    path.write_bytes(msgspec.json.encode(make_record(plan, WHERE)))
    record = msgspec.json.decode(path.read_bytes())
    assert len(record["sheet"]) == len(make_lines(plan))
    assert record["carries"] is False
    assert read_record(path) == (store, plan.figures, WHERE)


@pytest.mark.parametrize(
    ("text", "message"), [("{}", "does not have the figures"), ("x", "does not have the figures"), ("", "figures")]
)
def test_another_file_is_not_read(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_record(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, ""),
        ({"machine": {key: value for key, value in WHERE.items() if key != "at"}}, "machine has no at"),
        ({"machine": {key: value for key, value in WHERE.items() if key != "cpu"}}, "machine has no cpu"),
        ({"store": "files"}, "store must be redis, redis-cluster, sql, not 'files'"),
        ({"store": "sql"}, "writer_seconds is of sql alone, and the store is sql"),
        ({"demands": {Part.PROXY: MACHINE.demands[Part.PROXY]}}, "demands of the node have no read"),
        ({"demands": {**MACHINE.demands, Part.NODE: {READ: Figure((1.0,))}}}, "demands of the node have no write"),
        ({"demands": {**MACHINE.demands, Part.STORE: dict.fromkeys(RequestKind, Figure(()))}}, "must have samples"),
        ({"demands": {**MACHINE.demands, Part.NODE: dict.fromkeys(RequestKind, Figure((0.0,)))}}, "must be above 0"),
        ({"resync_seconds": Figure(())}, "resync_seconds must have samples"),
        ({"traffic": {READ: MACHINE.traffic[READ]}}, "traffic has no write"),
        ({"session_bytes": 0}, "session_bytes must be above 0"),
    ],
)
def test_a_record_that_lacks_what_a_plan_needs_is_refused_in_one_line(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    figures = {key: value for key, value in changes.items() if key not in {"machine", "store"}}
    record = {"version": 1, "machine": WHERE, "store": "redis", "figures": {**msgspec.to_builtins(MACHINE), **figures}}
    path = tmp_path / "sheet.json"
    path.write_bytes(msgspec.json.encode({**record, **{key: changes[key] for key in changes.keys() - figures.keys()}}))
    if not message:
        planned, machine, _ = plan_from(path, WORKLOAD)
        assert printed(show_sheet(planned, describe(planned, machine)))
        return
    with pytest.raises(CapacityError, match=rf"^{path} does not have the figures of [^\n]*: [^\n]*{message}$"):
        plan_from(path, WORKLOAD)


@pytest.mark.parametrize(("store", "status"), [("sql", 0), ("redis-cluster", 2)])
def test_the_zones_of_an_earlier_run_are_those_of_its_store(tmp_path: Path, store: str, status: int) -> None:
    path = tmp_path / "capacity.json"
    plan = make_plan(store, figures=SQL if store == "sql" else None)
    path.write_bytes(msgspec.json.encode(make_record(plan, WHERE)))
    done = invoke("capacity", *shlex.split("--sessions 10k --active 1k --rate 0.03 --zones 2 --from"), path)
    assert done.exit_code == status, done.output
    assert ("--replicas must be below the number of zones (2)" in done.output) is (status == 2)


def test_a_record_of_another_version_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "sheet.json"
    path.write_bytes(msgspec.json.encode({**make_record(make_plan(), {}), "version": 2}))
    with pytest.raises(ValueError, match="version must be 1, not 2; measure again"):
        read_record(path)


LOST = "one may be lost at the peak, but not of the store"


@pytest.mark.parametrize(
    ("store", "workload", "why"),
    [
        ("redis", {}, ""),
        ("redis-cluster", {}, ""),
        ("redis", {"replicas": 0}, "the sessions of its primaries are lost with it, since they have no replicas"),
        ("redis-cluster", {"replicas": 0}, "a lost zone: the sessions of its primaries are lost with it"),
        ("redis", {"replicas": 1, "zones": 2}, "a lost zone: with most of the Sentinels it stops the store"),
        ("redis-cluster", {"replicas": 1, "zones": 2}, "a lost zone: with most of the primaries it stops the store"),
    ],
)
def test_a_store_that_does_not_survive_a_lost_zone_is_said(store: str, workload: dict[str, Any], why: str) -> None:
    shown = words(show_sheet(make_plan(store, **workload), ""))
    assert (LOST in shown) is bool(why)
    assert why in shown if why else "a lost zone" not in shown


def test_few_sessions_in_many_slots_are_said_to_take_more_memory() -> None:
    few = {"fitted": (5_000, 20_000)}
    assert "this machine filled so few" in words(show_sheet(make_plan("redis-cluster", figures=few), ""))
    assert "this machine filled so few" not in words(show_sheet(make_plan("redis", figures=few), ""))
