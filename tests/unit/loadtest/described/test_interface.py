"""How virtual users read the HTTP interface of docs/http-api.md: the requests that the file of the shop describes."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.described.description import read_description
from loadtest.described.interface import SHOP, http_interface
from loadtest.history import RENEWALS, Action, OpOutcome
from loadtest.operations import Answer, Operation, Request, Response, last_node

INTERFACE = http_interface()


def ask(operation: Operation) -> Request:
    return next(INTERFACE.exchange(operation, "alice", "secret", lambda _: ""))


def read(operation: Operation, status: int, body: bytes) -> Answer:
    exchange = INTERFACE.exchange(operation, "alice", "secret", lambda _: "")
    next(exchange)
    with pytest.raises(StopIteration) as end:
        exchange.send(Response(status, body, lambda _: []))
    answer = end.value.value
    assert isinstance(answer, Answer)
    return answer


@pytest.mark.parametrize("action", Action)
def test_each_operation_has_a_request_and_only_two_of_them_send_the_password(action: Action) -> None:
    request = ask(Operation(action, "apple", 2, new_password="another"))
    assert request.path == request.shown
    assert (request.method == "GET") is (action in (Action.LOOK, Action.ACCOUNT, Action.LIST))
    assert ("secret" in (request.body or {}).values()) is (action in RENEWALS)
    assert ("another" in (request.body or {}).values()) is (action is Action.PASSWORD)
    if action is Action.ADD:
        assert request.body == {"item": "apple", "quantity": 2}


@pytest.mark.parametrize("action", Action)
def test_a_request_asks_for_json_and_names_no_origin_which_a_proxy_may_change(action: Action) -> None:
    headers = ask(Operation(action)).headers
    assert headers is not None
    assert headers["Accept"] == "application/json"
    assert headers.keys() & {"Origin", "Referer"} == set()


@pytest.mark.parametrize(
    ("action", "status", "body", "answer"),
    [
        (Action.LOOK, 200, b'{"user":null,"visits":2,"cart":{"apple":1}}', Answer(OpOutcome.OK, None, 2, {"apple": 1})),
        (Action.LOOK, 200, b'{"user": null, "visits": 0, "cart": {}}', Answer(OpOutcome.OK, None, 0, {})),
        (Action.LOOK, 200, b'{"user": null}', Answer(OpOutcome.OK, None)),
        (
            Action.LOOK,
            200,
            b'{"user":"alice","visits":2,"cart":{"apple":1}}',
            Answer(OpOutcome.OK, "alice", 2, {"apple": 1}),
        ),
        (Action.LOGIN, 200, b'{"user":"alice","node":"node-1"}', Answer(OpOutcome.OK, "alice")),
        (Action.LOOK, 200, b'{"user":"a\\u001b[1m"}', Answer(OpOutcome.OK, r"a\x1b[1m")),
        (Action.ACCOUNT, 200, b'{"user":"alice","since":"2025"}', Answer(OpOutcome.OK, "alice")),
        (Action.ACCOUNT, 401, b'{"error":"log in"}', Answer(OpOutcome.OK, None)),
        (Action.VISIT, 200, b'{"visits":3}', Answer(OpOutcome.OK, visits=3)),
        (Action.ADD, 200, b'{"cart":{"apple":3}}', Answer(OpOutcome.OK, cart={"apple": 3})),
        (Action.EMPTY, 204, b"", Answer(OpOutcome.OK)),
        (Action.LOGOUT, 204, b"", Answer(OpOutcome.OK)),
        (Action.VISIT, 409, b"", Answer(OpOutcome.FAIL)),  # the session was ended while the write was under way
        (Action.LOGIN, 409, b"", Answer(OpOutcome.FAIL)),  # another tab renewed the session meanwhile
        (Action.PASSWORD, 409, b"", Answer(OpOutcome.FAIL)),
        (Action.END_OTHERS, 409, b"", Answer(OpOutcome.FAIL)),
        (Action.LIST, 200, b'{"sessions":[]}', Answer(OpOutcome.OK)),
        (Action.LIST, 401, b'{"error":"log in"}', Answer(OpOutcome.OK, None)),
        (Action.END_OTHERS, 200, b'{"ended":1}', Answer(OpOutcome.OK)),
        (Action.END_OTHERS, 401, b"", Answer(OpOutcome.FAIL)),
        (Action.PASSWORD, 401, b"", Answer(OpOutcome.FAIL)),
        (Action.PASSWORD, 403, b"", Answer(OpOutcome.FAIL, error="status 403")),
        (Action.PASSWORD, 200, b"", Answer(OpOutcome.FAIL, error="status 200")),
        (Action.PASSWORD, 204, b"", Answer(OpOutcome.OK)),
        (Action.LOOK, 409, b"", Answer(OpOutcome.FAIL, error="status 409")),
        (Action.LOOK, 204, b"", Answer(OpOutcome.FAIL, error="status 204")),
        (Action.LOGOUT, 409, b"", Answer(OpOutcome.FAIL, error="status 409")),
        (Action.LOGIN, 401, b"", Answer(OpOutcome.FAIL, error="status 401", refused=True)),
        (Action.LOGIN, 429, b"", Answer(OpOutcome.FAIL, error="status 429")),
        (Action.VISIT, 502, b"", Answer(OpOutcome.UNKNOWN, error="status 502")),
        (Action.PASSWORD, 503, b"", Answer(OpOutcome.UNKNOWN, error="status 503")),
        (Action.VISIT, 200, b"{}", Answer(OpOutcome.UNKNOWN, error="the answer shows no counter")),
        (Action.ADD, 200, b"{}", Answer(OpOutcome.UNKNOWN, error="the answer shows no items")),
        (
            Action.LOOK,
            200,
            b'{"name":1}',
            Answer(OpOutcome.UNKNOWN, error="the answer shows no user, and nothing of [anonymous]"),
        ),
    ],
)
def test_an_answer_is_read_by_its_status_and_its_json(action: Action, status: int, body: bytes, answer: Answer) -> None:
    assert read(Operation(action), status, body) == answer


@pytest.mark.parametrize("body", [b'{"user":"\xff"}', b"", b"<html>"])
def test_an_answer_that_is_not_json_in_utf_8_is_unknown(body: bytes) -> None:
    answer = read(Operation(Action.LOOK), 200, body)
    assert answer.outcome is OpOutcome.UNKNOWN
    assert answer.error.startswith("the answer is not JSON: ")


@pytest.mark.parametrize("status", [401, 429])
def test_the_refusal_of_an_old_password_is_no_failure(status: int) -> None:
    answer = read(Operation(Action.LOGIN, may_fail=True), status, b"")
    assert answer == Answer(OpOutcome.FAIL, refused=status == 401)


@given(st.sampled_from(Action), st.integers(200, 599), st.binary(max_size=40))
def test_any_bytes_are_read_without_an_exception(action: Action, status: int, body: bytes) -> None:
    answer = read(Operation(action), status, body)
    assert answer.outcome is not OpOutcome.OK or not answer.error
    assert answer.outcome is OpOutcome.UNKNOWN or status < 500


@pytest.mark.parametrize(
    ("lines", "node"),
    [([], ""), (["node-1"], "node-1"), (["10.0.0.5:3000, 10.0.0.6:3000"], "10.0.0.6:3000"), (["a", "b"], "b")],
)
def test_of_several_nodes_the_last_one_answered(lines: list[str], node: str) -> None:
    assert last_node(lines) == node


def test_the_files_of_the_shop_differ_in_the_proxy_alone() -> None:
    file, plain = (read_description(path).file for path in (SHOP, SHOP.with_name("plain_nginx.toml")))
    for key in ("requests", "anonymous", "conflict", "node_header", "site"):
        assert getattr(file, key) == getattr(plain, key)


def test_the_file_goes_with_the_distribution() -> None:
    root = SHOP.parents[3]
    data = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    assert SHOP.relative_to(root / "loadtest" / "targets").as_posix() in data["loadtest.targets"]
