"""The board: what a page gets that opens, that missed something, and that comes from an earlier run."""

import json

from loadtest.console.board import Board, Cursor, EntryKind
from loadtest.console.messages import message


def events(board: Board, cursor: Cursor) -> list[tuple[str, str, dict[str, object]]]:
    """Return what is new: (event, id, data)."""
    found = []
    for block in board.read(cursor):
        fields = dict(line.split(": ", 1) for line in block.decode().splitlines() if line)
        found.append((fields["event"], fields.get("id", ""), json.loads(fields["data"])))
    return found


def board_with(count: int) -> Board:
    board = Board()
    for _ in range(count):
        board.log(EntryKind.SEEN, message("nothing_to_undo"))
    return board


def test_a_new_page_gets_the_log_and_the_newest_snapshot() -> None:
    board = board_with(2)
    board.publish({"at": 1})
    board.publish({"at": 2})
    cursor = board.cursor("")
    kinds = [(event, data.get("at")) for event, _, data in events(board, cursor)]
    assert [kind for kind, _ in kinds] == ["log", "log", "snapshot"]
    assert kinds[-1] == ("snapshot", 2)
    assert events(board, cursor) == []


def test_a_page_that_comes_back_gets_only_the_lines_it_missed() -> None:
    board = board_with(3)
    _, last, _ = events(board, board.cursor(""))[1]
    board.log(EntryKind.SEEN, message("nothing_to_undo"))
    missed = [data["id"] for event, _, data in events(board, board.cursor(last)) if event == "log"]
    assert missed == [3, 4]


def test_an_id_of_an_earlier_run_replays_everything() -> None:
    earlier, board = board_with(9), board_with(2)
    _, last, _ = events(earlier, earlier.cursor(""))[-1]
    for foreign in (last, "", "nonsense", f"{board.boot}.-1", f"{board.boot}.x"):
        assert len([event for event, *_ in events(board, board.cursor(foreign)) if event == "log"]) == 2


def test_a_line_is_told_in_english_beside_its_key() -> None:
    board = Board()
    entry = board.log(EntryKind.FAILED, message("do_kill", it="node-1"), reason=message("has_ended", name="node-1"))
    assert entry.text == "kill node-1: node-1 has ended: restart it"
    (_, _, data) = events(board, board.cursor(""))[0]
    assert data["message"] == {"key": "do_kill", "values": {"it": "node-1"}}
