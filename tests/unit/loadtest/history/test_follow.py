"""Parts of a history that several processes write, followed while they grow."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from loadtest.history import (
    Event,
    Follower,
    HistoryError,
    Mark,
    Op,
    PartWriter,
    Truncated,
    follow,
    read_part,
)
from tests.unit.loadtest.history.test_history import HEADER, op


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    return [tmp_path / "parent.jsonl", tmp_path / "part-1.jsonl", tmp_path / "part-2.jsonl"]


def write(path: Path, *events: Op | Mark) -> Path:
    with PartWriter(path) as writer:
        for event in events:
            writer.write(event)
    return path


def times(events: list[Event]) -> list[float]:
    return [event.ended if isinstance(event, Op) else event.at for event in events if isinstance(event, Op | Mark)]


def test_parts_are_merged_in_order_of_time(paths: list[Path]) -> None:
    write(paths[0], Mark(1000.0, "before"), Mark(1003.0, "fault"))
    write(paths[1], op(1), op(4))
    write(paths[2], op(2), op(3))
    follower = follow(*paths)
    assert times(follower.finish()) == [1000.0, 1001.5, 1002.5, 1003.0, 1003.5, 1004.5]


def test_an_event_is_held_back_until_older_ones_have_had_their_time(paths: list[Path], clock: Clock) -> None:
    follower = Follower(*paths[:2], lateness=2.0, clock=clock)
    first, second = PartWriter(paths[0]), PartWriter(paths[1])
    second.write(op(2))
    second.flush()
    clock.time = 1003.0
    assert follower.poll() == []
    first.write(op(1))
    first.flush()
    clock.time = 1004.6
    assert times(follower.poll()) == [1001.5, 1002.5]
    assert follower.poll() == []
    first.write(op(0))  # later than allowed
    first.flush()
    assert times(follower.poll()) == [1000.5]


def test_a_part_may_not_exist_yet_and_its_last_line_may_be_incomplete(paths: list[Path], clock: Clock) -> None:
    follower = Follower(paths[0], clock=clock)
    clock.time = 2000.0
    assert follower.poll() == []
    line = msgspec.json.encode(op(1)) + b"\n"
    paths[0].write_bytes(line + line[:50])
    assert times(follower.poll()) == [1001.5]
    with paths[0].open("ab") as file:
        file.write(line[50:])
    assert times(follower.poll()) == [1001.5]


@pytest.mark.parametrize("reading", [lambda path: follow(path).finish(), lambda path: list(read_part(path))])
def test_a_damaged_line_is_named(paths: list[Path], reading: Callable[[Path], object]) -> None:
    paths[0].write_bytes(msgspec.json.encode(op(1)) + b'\n{"is":"dance"}\n')
    with pytest.raises(HistoryError, match=r"parent\.jsonl: line 2: "):
        reading(paths[0])


def test_a_part_without_an_end_is_truncated(paths: list[Path]) -> None:
    with pytest.raises(ZeroDivisionError), PartWriter(paths[0]) as writer:
        writer.write(op(1))
        raise ZeroDivisionError
    with pytest.raises(Truncated, match="truncated after 1 events"):
        list(read_part(paths[0]))
    assert times(list(read_part(paths[0], partial=True))) == [1001.5]


def test_a_part_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="cannot be read"):
        follow(tmp_path).finish()


def test_all_the_rest_comes_at_the_end_also_what_is_new_or_has_equal_times(paths: list[Path], clock: Clock) -> None:
    write(paths[0], op(1), op(1), op(2000))
    paths[1].write_bytes(msgspec.json.encode(HEADER) + b"\n")
    follower = Follower(*paths[:2], clock=clock)
    assert times(follower.poll()) == []
    events = follower.finish()
    assert times(events) == [1001.5, 1001.5, 3000.5]
    assert len(events) == 3
    for number in range(2):
        with paths[1].open("ab") as file:
            file.write(msgspec.json.encode(op(number)) + b"\n")
        assert times(follower.finish()) == [1000.5 + number]
