"""Histories: written, read, and damaged in every way."""

import contextlib
import gzip
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import UNSET

from loadtest.history import (
    VERSION,
    Action,
    End,
    Event,
    Header,
    HistoryError,
    Mark,
    Note,
    Op,
    OpOutcome,
    Probe,
    Truncated,
    Writer,
    assemble,
    read,
)

ROOT = Path(__file__).parents[4]
HEADER = Header(version=VERSION, title="a run", started=1000.0, cluster={"nodes": 3}, idle_timeout=1800.0)


def op(number: int = 1, **changes: object) -> Op:
    fields = {
        "who": f"shopper-{number}",
        "account": "alice",
        "session": f"shopper-{number}#1",
        "action": Action.LOOK,
        "outcome": OpOutcome.OK,
        "user": "alice",
        "visits": number,
        "cart": {"apple of shopper-1": 2},
        "replaced": False,
        "method": "GET",
        "path": "/me",
        "status": 200,
        "node": "node-2",
        "upstream": "127.0.0.1:8001, 127.0.0.1:8002",
        "upstream_status": "502, 200",
        "expected_user": "alice",
        "expected_visits": (number, number + 1),
        "expected_cart": {"apple of shopper-1": (2, 2)},
        "started": 1000.0 + number,
        "ended": 1000.5 + number,
    }
    return Op(**{**fields, **changes})  # type: ignore[arg-type]


def probe(at: float = 1001.0) -> Probe:
    return Probe(target="proxy", started=at, ended=at + 0.01, outcome=OpOutcome.OK, status=200, node="node-1")


EVENTS: list[Op | Probe | Mark | Note] = [
    Mark(1000.0, "before"),
    op(1),
    op(2, user=None, visits=UNSET, cart=UNSET, replaced=UNSET, found=("logged out",)),
    probe(),
    Note(1003.0, "generator", {"generator_cpu": 0.4}),
    op(3, outcome=OpOutcome.UNKNOWN, user=UNSET, error="no answer: TimeoutError", status=0),
    Mark(1009.0, "end"),
]


def written(path: Path, events: list[Op | Probe | Mark | Note] | None = None, header: Header = HEADER) -> Path:
    with Writer(path, header) as writer:
        for event in EVENTS if events is None else events:
            writer.write(event)
    return path


def lines(path: Path, *texts: str, end: str = "\n") -> Path:
    path.write_bytes(gzip.compress(("\n".join(texts) + end).encode()))
    return path


def error(path: Path, *, partial: bool = False) -> str:
    with pytest.raises(HistoryError) as caught:
        list(read(path, partial=partial))
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


def test_a_history_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = written(tmp_path / "history.jsonl.gz")
    assert list(read(path)) == [HEADER, *EVENTS, End(3, 1)]


def test_a_history_is_lines_of_json_compressed_with_gzip(tmp_path: Path) -> None:
    path = written(tmp_path / "history.jsonl.gz")
    text = gzip.decompress(path.read_bytes()).decode().splitlines()
    assert [msgspec.json.decode(line)["is"] for line in text] == [
        *("history", "mark", "op", "op", "probe", "note", "op", "mark", "end")
    ]
    recompressed = tmp_path / "again.gz"
    recompressed.write_bytes(gzip.compress(("\n".join(text) + "\n").encode()))
    assert list(read(recompressed)) == list(read(path))


def test_fields_of_a_later_program_are_ignored(tmp_path: Path) -> None:
    header = '{"is":"history","version":1,"title":"t","started":1.0,"weather":"fine"}'
    path = lines(tmp_path / "h.gz", header, '{"is":"end","ops":0,"probes":0,"more":[1]}')
    assert list(read(path)) == [Header(version=1, title="t", started=1.0), End(0, 0)]


@pytest.mark.parametrize("partial", [True, False])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a zip", b'{"is":"history"}\n', gzip.compress(b"", mtime=0)])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes, partial: bool) -> None:
    path = tmp_path / "foreign"
    path.write_bytes(content)
    assert "not a history" in error(path, partial=partial)


def test_a_file_without_line_ends_is_not_read_into_memory(tmp_path: Path) -> None:
    path = tmp_path / "h.gz"
    path.write_bytes(gzip.compress(b" " * 3_000_000))
    assert "a line of more than" in error(path)


FIRST = msgspec.json.encode(HEADER).decode()
LAST = '{"is":"end","ops":0,"probes":0}'


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        *(([first], "line 1: ") for first in ("hello", "{}", '{"is":"op"}', '{"is":"history"}', "[1]")),
        (['{"is":"history","version":0}'], "line 1: "),
        (
            ['{"is":"history","version":3,"title":3}'],
            "version must be at most 2, not 3; use the program",
        ),
        *(([FIRST, line], "line 2: ") for line in ('{"is":"op","who":"a"}', '{"is":"dance"}', "{", "\\u00ff")),
        ([FIRST, FIRST], "line 2: a second header"),
        ([FIRST, LAST, LAST], "line 3: data after the end"),
        ([FIRST, LAST.replace('"ops":0', '"ops":7')], "line 2: the end counts 7 operations and 0 probes, but the file"),
    ],
)
def test_a_line_that_does_not_belong_there_is_named(tmp_path: Path, texts: list[str], reason: str) -> None:
    assert error(lines(tmp_path / "h.gz", *texts)).startswith(reason)


def test_a_missing_file_is_an_error_with_its_name(tmp_path: Path) -> None:
    assert error(tmp_path / "nowhere.gz") == "cannot be read: No such file or directory"


def test_data_after_the_compressed_data_is_damage(tmp_path: Path) -> None:
    path = written(tmp_path / "h.gz")
    path.write_bytes(path.read_bytes() + b"junk")
    assert "data after the end of the compressed data" in error(path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "h.gz"
    with Writer(path, HEADER) as writer:
        for number in range(200):
            writer.write(op(number))
            if number % 20 == 0:
                writer.flush()
    return path


@example(share=1 - 1e-9)  # all but the last byte
@given(share=st.floats(0, 1, exclude_max=True))
def test_the_beginning_of_a_truncated_file_is_readable_wherever_it_is_cut_off(
    whole: Path, tmp_path: Path, share: float
) -> None:
    content = whole.read_bytes()
    cut = tmp_path / "cut.gz"
    cut.write_bytes(content[: int(len(content) * share)])
    complete = list(read(whole))
    beginning: list[Event] = []
    with contextlib.suppress(HistoryError):  # not even the header is left
        beginning = list(read(cut, partial=True))
    if not beginning:
        assert "not a history" in error(cut)
        return
    assert beginning == complete[: len(beginning)]
    with pytest.raises(Truncated, match=r"truncated after \d+ operations and 0 probes"):
        list(read(cut))


@given(share=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_a_changed_byte_is_a_history_error_or_changes_no_event(
    whole: Path, tmp_path: Path, share: float, flip: int
) -> None:
    """gzip ignores a few bits: the time in its header, and those that fill a byte up."""
    content = bytearray(whole.read_bytes())
    content[int(len(content) * share)] ^= flip
    damaged = tmp_path / "damaged.gz"
    damaged.write_bytes(content)
    with contextlib.suppress(HistoryError):
        assert list(read(damaged)) == list(read(whole))


def test_flushed_events_are_readable_after_the_writer_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "h.gz"
    program = (
        "import sys, time\n"
        "from tests.unit.loadtest.history.test_history import *\n"
        "writer = Writer(sys.argv[1], HEADER)\n"
        "for number in range(500): writer.write(op(number))\n"
        "writer.flush(); writer.write(op(999)); print('flushed', flush=True); time.sleep(99)"
    )
    command = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "flushed\n"
        os.kill(writer.pid, signal.SIGKILL)
    assert error(path) == "truncated after 500 operations and 0 probes (line 501)"
    assert len(list(read(path, partial=True))) == 501


def test_a_writer_flushes_by_itself_when_there_is_much_text(tmp_path: Path) -> None:
    path = tmp_path / "h.gz"
    writer = Writer(path, HEADER)
    before = path.stat().st_size
    for number in range(1000):
        writer.write(op(number))
    assert path.stat().st_size > before
    writer.close()


def test_histories_are_assembled_in_order_of_time_under_one_header(tmp_path: Path) -> None:
    part = written(tmp_path / "part.gz", [op(1), op(5)])
    marks: list[Event] = [Mark(1000.0, "before"), Mark(1003.0, "fault")]
    assemble(tmp_path / "all.gz", HEADER, read(part), [probe(1002.0)], marks)
    kinds = [type(event) for event in read(tmp_path / "all.gz")]
    assert kinds == [Header, Mark, Op, Probe, Mark, Op, End]


def test_a_truncated_part_stops_the_assembly(tmp_path: Path) -> None:
    part = written(tmp_path / "part.gz")
    part.write_bytes(part.read_bytes()[:-12])
    with pytest.raises(Truncated):
        assemble(tmp_path / "all.gz", HEADER, read(part))
    with pytest.raises(Truncated):
        list(read(tmp_path / "all.gz"))
    assemble(tmp_path / "all.gz", HEADER, read(part, partial=True))
    assert isinstance(list(read(tmp_path / "all.gz"))[-1], End)
