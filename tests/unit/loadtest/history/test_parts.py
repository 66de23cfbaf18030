"""Parts of a history that several processes write, read while they grow and when they have ended."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from loadtest.history import (
    Event,
    EventsOf,
    Follower,
    Header,
    HistoryError,
    Mark,
    Op,
    PartWriter,
    Truncated,
    assemble,
    read_part,
    when,
)
from tests.unit.loadtest.history.test_history import HEADER, op


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    return [tmp_path / "parent.jsonl", tmp_path / "part-1.jsonl", tmp_path / "part-2.jsonl"]


def write(path: Path, *events: Op | Mark) -> None:
    with PartWriter(path) as writer:
        for event in events:
            writer.write(event)


def encode(*events: Event) -> bytes:
    return b"".join(msgspec.json.encode(event) + b"\n" for event in events)


def test_events_of_all_parts_come_in_order_of_time(paths: list[Path]) -> None:
    write(paths[0], Mark(1000.0, "before"), Mark(1003.0, "fault"))
    write(paths[1], op(1), op(4))
    write(paths[2], op(2), op(2), op(3))
    times = [when(event) for event in Follower(*paths).poll()]
    assert times == [1000.0, 1001.5, 1002.5, 1002.5, 1003.0, 1003.5, 1004.5]


def test_operations_share_the_texts_that_they_repeat(paths: list[Path]) -> None:
    write(paths[0], *(op(number, who="alice in a tab", session="alice#1") for number in range(3)))
    ops = [event for event in Follower(paths[0]).poll() if isinstance(event, Op)]
    for name in ("who", "account", "session", "method", "path", "node", "upstream", "upstream_status"):
        assert len({id(getattr(each, name)) for each in ops}) == 1, f"{name} is there {len(ops)} times"


def test_each_poll_returns_the_events_flushed_since_the_last_one(paths: list[Path]) -> None:
    follower = Follower(*paths[:2])
    assert follower.poll() == [], "no part exists yet"
    first, second = PartWriter(paths[0]), PartWriter(paths[1])
    second.write(op(2))
    second.flush()
    assert follower.poll() == [op(2)]
    first.write(op(1))
    first.flush()
    second.write(op(3))
    assert follower.poll() == [op(1)], "an older event is not left out, and an event that was not flushed is not read"
    second.close()
    first.close()
    assert follower.poll() == [op(3)]
    assert follower.poll() == []


def test_an_incomplete_line_is_read_once_its_rest_has_come(paths: list[Path]) -> None:
    follower = Follower(paths[0])
    content = encode(HEADER, op(1), op(2))
    for begin in range(0, len(content), 400):
        with paths[0].open("ab") as file:
            file.write(content[begin : begin + 400])
        complete = content[: begin + 400].count(b"\n") - content[:begin].count(b"\n")
        assert len(follower.poll()) == complete - (begin == 0)


def test_a_part_that_has_ended_is_read_whole(paths: list[Path]) -> None:
    events = [op(number) for number in range(1000)]  # more than one chunk
    write(paths[0], *events)
    assert list(read_part(paths[0])) == Follower(paths[0]).poll() == events


@pytest.mark.parametrize("reading", [lambda path: Follower(path).poll(), lambda path: list(read_part(path))])
def test_a_damaged_line_is_named(paths: list[Path], reading: Callable[[Path], object]) -> None:
    paths[0].write_bytes(encode(op(1)) + b'{"is":"dance"}\n')
    with pytest.raises(HistoryError, match=r"parent\.jsonl: line 2: "):
        reading(paths[0])


def test_a_part_without_an_end_is_truncated(paths: list[Path]) -> None:
    with pytest.raises(ZeroDivisionError), PartWriter(paths[0]) as writer:
        writer.write(op(1))
        raise ZeroDivisionError
    with pytest.raises(Truncated, match="truncated after 1 events"):
        list(read_part(paths[0]))
    assert Follower(paths[0]).poll() == [op(1)]


def test_a_part_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="cannot be read"):
        Follower(tmp_path).poll()


def test_what_was_read_is_given_back_while_its_writer_goes_on(paths: list[Path]) -> None:
    def kept() -> int:
        return paths[0].stat().st_blocks * 512

    with PartWriter(paths[0]) as writer:
        for number in range(10_000):
            writer.write(op(number))
        writer.flush()
        follower = Follower(*paths)
        assert len(follower.poll()) == 10_000
        size = paths[0].stat().st_size
        assert size > 3_000_000
        follower.forget()
        if kept() >= size:
            pytest.skip("this file system can't give the beginning of a file back")
        assert kept() < 100_000
        assert paths[0].stat().st_size == size
        writer.write(op(7))
        writer.flush()
        assert follower.poll() == [op(7)]
        follower.forget()


def test_the_end_of_parts_begins_at_one_time_in_all_of_them(paths: list[Path]) -> None:
    follower = Follower(*paths[:2])
    with PartWriter(paths[0]) as often, PartWriter(paths[1]) as seldom:
        for number in range(10_000):
            often.write(op(number))
            if number % 100 == 0:
                seldom.write(op(number))
    assert len(follower.poll()) == 10_100
    follower.forget(300_000)
    since, parts = follower.kept()
    assert since is not None
    often_, seldom_ = ([when(event) for event in part] for part in parts)
    assert often_[0] == since
    assert often_[-1] == when(op(9_999))
    assert 500 < len(often_) < 1_000  # 300 bytes each, more or less
    assert [at for at in often_ if (at - when(op(0))) % 100 == 0] == seldom_


def test_parts_that_were_kept_whole_have_no_new_beginning(paths: list[Path]) -> None:
    follower = Follower(paths[0])
    with PartWriter(paths[0]) as writer:
        writer.write(op(1))
    follower.poll()
    follower.forget(300_000)
    since, parts = follower.kept()
    assert since is None
    assert list(parts[0]) == [op(1)]


def test_operations_are_read_from_the_file_each_time(tmp_path: Path) -> None:
    path, header = tmp_path / "history.jsonl.gz", Header(version=1, title="", started=0.0)
    assemble(path, header, [op(1), Mark(2.0, "during"), op(3)])
    events = EventsOf(path, Op)
    assert list(events) == list(events) == [op(1), op(3)]


def test_the_end_of_a_history_is_not_taken_for_the_whole(tmp_path: Path) -> None:
    path, header = tmp_path / "history.jsonl.gz", Header(version=1, title="", started=0.0, since=1.0)
    assemble(path, header, [op(1)])
    with pytest.raises(HistoryError, match="only the end of the history was kept"):
        list(EventsOf(path, Op))
    assert list(EventsOf(path, Op, end_will_do=True)) == [op(1)]
