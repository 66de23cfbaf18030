"""How virtual users read the HTTP interface."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.history import RENEWALS, Action, OpOutcome
from loadtest.http import Answer, HttpInterface, Operation, last_node

INTERFACE = HttpInterface()


@pytest.mark.parametrize("action", Action)
def test_each_operation_has_a_request_and_only_two_of_them_send_the_password(action: Action) -> None:
    request = INTERFACE.request(Operation(action, "apple", 2), "alice", "secret")
    assert request.path.startswith("/")
    assert (request.method == "GET") is (action in (Action.LOOK, Action.ACCOUNT, Action.LIST))
    assert ("secret" in (request.body or {}).values()) is (action in RENEWALS)


@pytest.mark.parametrize(
    ("action", "status", "body", "answer"),
    [
        (Action.LOOK, 200, b'{"user":null,"visits":2,"cart":{"apple":1}}', Answer(OpOutcome.OK, None, 2, {"apple": 1})),
        (Action.LOGIN, 200, b'{"user":"alice","node":"node-1"}', Answer(OpOutcome.OK, "alice")),
        (Action.LOOK, 200, b'{"user":"a\\u001b[1m"}', Answer(OpOutcome.OK, r"a\x1b[1m")),
        (Action.ACCOUNT, 401, b'{"error":"log in"}', Answer(OpOutcome.OK, None)),
        (Action.VISIT, 200, b'{"visits":3}', Answer(OpOutcome.OK, visits=3)),
        (Action.EMPTY, 204, b"", Answer(OpOutcome.OK)),
        (Action.VISIT, 409, b"", Answer(OpOutcome.FAIL)),  # the session was ended while the write was under way
        (Action.LOGIN, 409, b"", Answer(OpOutcome.FAIL)),  # another tab renewed the session meanwhile
        (Action.LIST, 200, b'{"sessions":[]}', Answer(OpOutcome.OK)),
        (Action.LIST, 401, b'{"error":"log in"}', Answer(OpOutcome.OK, None)),
        (Action.END_OTHERS, 401, b"", Answer(OpOutcome.FAIL)),
        (Action.PASSWORD, 401, b"", Answer(OpOutcome.FAIL)),
        (Action.PASSWORD, 204, b"", Answer(OpOutcome.OK)),
        (Action.LOOK, 409, b"", Answer(OpOutcome.FAIL, error="status 409")),
        (Action.LOGIN, 401, b"", Answer(OpOutcome.FAIL, error="status 401")),
        (Action.VISIT, 502, b"", Answer(OpOutcome.UNKNOWN, error="status 502")),
        (Action.VISIT, 200, b"{}", Answer(OpOutcome.UNKNOWN, error="the answer has no 'visits'")),
        (Action.LOOK, 200, b"", Answer(OpOutcome.UNKNOWN, error="the answer has no 'user'")),
    ],
)
def test_an_answer_is_read_by_its_status_and_its_json(action: Action, status: int, body: bytes, answer: Answer) -> None:
    assert INTERFACE.read(Operation(action), status, body) == answer


def test_an_answer_that_is_not_utf_8_is_unknown() -> None:
    answer = INTERFACE.read(Operation(Action.LOOK), 200, b'{"user":"\xff"}')
    assert answer.outcome is OpOutcome.UNKNOWN
    assert answer.error.startswith("not the JSON of the interface: 'utf-8' codec")


@pytest.mark.parametrize("status", [401, 429])
def test_the_refusal_of_an_old_password_is_no_failure(status: int) -> None:
    assert INTERFACE.read(Operation(Action.LOGIN, may_fail=True), status, b"") == Answer(OpOutcome.FAIL)


@given(st.sampled_from(Action), st.integers(200, 599), st.binary(max_size=40))
def test_any_bytes_are_read_without_an_exception(action: Action, status: int, body: bytes) -> None:
    answer = INTERFACE.read(Operation(action), status, body)
    assert answer.outcome is not OpOutcome.OK or not answer.error
    assert answer.outcome is OpOutcome.UNKNOWN or status < 500


@pytest.mark.parametrize(
    ("lines", "node"),
    [([], ""), (["node-1"], "node-1"), (["10.0.0.5:3000, 10.0.0.6:3000"], "10.0.0.6:3000"), (["a", "b"], "b")],
)
def test_of_several_nodes_the_last_one_answered(lines: list[str], node: str) -> None:
    assert last_node(lines) == node
