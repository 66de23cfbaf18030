"""When a target is steady: every member runs, and every node answers well, also where answers do not name it."""

from collections.abc import Iterator
from itertools import cycle
from types import SimpleNamespace
from typing import Any, cast

import pytest

from deploy import Member, MemberState, Role
from loadtest import steady
from loadtest.history import Action
from loadtest.target import Target


def target(*nodes: MemberState) -> Target:
    members = [Member(f"node-{number}", Role.NODE, "", None, "", state) for number, state in enumerate(nodes, 1)]
    cluster = SimpleNamespace(members=lambda: tuple(members)) if members else None
    return cast("Target", SimpleNamespace(cluster=cluster, visitor_action=Action.LOOK))


def complaint(monkeypatch: pytest.MonkeyPatch, target: Target, *answers: tuple[int, str]) -> tuple[str | None, int]:
    """Return the complaint, and the number of requests that it took. `answers`: status and node, in turn."""
    asked: list[Any] = []
    following: Iterator[tuple[int, str]] = cycle(answers)

    def send(_: Target, operation: Any) -> Any:
        asked.append(operation)
        status, node = next(following)
        request = SimpleNamespace(method="GET", path="/me")
        answer = SimpleNamespace(error="" if status == 200 else f"status {status}")
        return SimpleNamespace(request=request, status=status, answer=answer, node=node)

    monkeypatch.setattr(steady, "send", send)
    return steady._find_complaint(target), len(asked)


RUNNING, PAUSED = MemberState.RUNNING, MemberState.PAUSED


@pytest.mark.parametrize(
    ("states", "answers", "expected"),
    [
        ((RUNNING, RUNNING), [(200, "node-1"), (200, "node-2")], (None, 2)),
        ((RUNNING, RUNNING), [(200, "node-1")], ("node-2 does not serve", 8)),
        ((RUNNING, RUNNING), [(200, "")], (None, 4)),
        ((RUNNING, RUNNING), [(200, "4f5e")], (None, 4)),
        ((RUNNING, RUNNING), [(200, ""), (200, ""), (200, ""), (502, "")],
         ("GET /me is answered with 502 (by no node)", 4)),
        ((RUNNING, PAUSED), [(200, "")], ("node-2 is paused", 0)),
        ((), [(200, "")], (None, 1)),
        ((), [(503, "")], ("GET /me is answered with 503 (by no node)", 1)),
    ],
)  # fmt: skip
def test_a_target_is_steady_when_every_node_answers(
    monkeypatch: pytest.MonkeyPatch,
    states: tuple[MemberState, ...],
    answers: list[tuple[int, str]],
    expected: tuple[str | None, int],
) -> None:
    assert complaint(monkeypatch, target(*states), *answers) == expected
