"""A server, or a proxy in front of it, that answers badly: a right answer or StoreUnavailable, in time, and bounded."""

from __future__ import annotations

import contextlib
import itertools
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.fault_proxy import FaultProxy
from deploy.tcp_proxy import ANSWERS
from nodes.sessions import Budgets, Changes, Outcome, RedisStore, StoreUnavailable
from nodes.sessions.stores.express import ExpressStore
from nodes.sessions.stores.redis import client
from tests.support.records import HOUR, KEY, OTHER, fields_of, load
from tests.support.redis_stores import OpenStore
from tests.support.servers import tcp_server
from tests.support.valkey import Valkey
from tests.support.waiting import wait_until

HASTY = Budgets(0.05, 0.05, retries=1, deadline=0.3)
CALM = Budgets(0.5, 0.5, retries=0, deadline=0.5)
"""For tests that ask why an operation was given up: a machine with other work delays an answer by 0.05 s."""
SECONDS = 1.5
"""An operation that is one exchange takes no longer: above the deadlines, and well below what `drip` takes."""
ABSENT = "c" * 64
BAD = [answers for answers in ANSWERS if answers != "right"]


@pytest.fixture(scope="module")
def proxy(server: Valkey) -> Iterator[FaultProxy]:
    with closing(FaultProxy.to(server.port)) as made:
        yield made


def to_value(key: str) -> bytes:
    """Return the value of the field `me`: JSON, as Express's format demands."""
    return f'"{key}"'.encode()


def fill(store: RedisStore | ExpressStore) -> None:
    for key in (KEY, OTHER):
        store.delete(key)
        store.create(key, {"me": to_value(key)}, f"user {key}", HOUR)


def _is_mine(key: str) -> Callable[[RedisStore], bool]:
    return lambda store: fields_of(store, key)["me"] == to_value(key)


def _create(store: RedisStore) -> bool:
    # The second time, the first creation whose answer was lost is there.
    return store.create(ABSENT, {"me": ABSENT.encode()}, None, HOUR) is not None or load(store, ABSENT).owner is None


OPERATIONS: dict[str, Callable[[RedisStore], bool]] = {
    "load": _is_mine(KEY),
    "load another": _is_mine(OTHER),
    "update": lambda store: store.update(KEY, Changes({"n": b"1"}), HOUR) is Outcome.APPLIED,
    "conflict": lambda store: store.update(KEY, Changes(expect={"me": b""}), HOUR) is Outcome.CONFLICT,
    "create": _create,
    "ping": lambda store: abs(store.ping() - time.time()) < 60,
    "list": lambda store: store.keys_of(f"user {OTHER}") == [OTHER],
}


@given(st.lists(st.tuples(st.sampled_from(ANSWERS), st.sampled_from(sorted(OPERATIONS))), min_size=1, max_size=4))
@settings(max_examples=30)
def test_each_operation_is_right_or_unavailable_and_in_time(
    server: Valkey, proxy: FaultProxy, calls: list[tuple[str, str]]
) -> None:
    url = f"redis://127.0.0.1:{proxy.port}/0"
    with closing(RedisStore.from_url(url, HASTY)) as store, closing(RedisStore.from_url(server.url)) as direct:
        fill(direct)
        with contextlib.suppress(StoreUnavailable):
            store.load(KEY)
        for answers, name in calls:
            proxy.answers(answers)
            started = time.monotonic()
            with contextlib.suppress(StoreUnavailable):
                assert OPERATIONS[name](store), (answers, name)
            exchanges = 2 if name in {"list", "create"} else 1
            assert time.monotonic() - started < exchanges * SECONDS, (answers, name)
        proxy.reset()
        wait_until(lambda: _is_available(store))
        assert fields_of(direct, KEY)["me"] == to_value(KEY)
        assert fields_of(direct, OTHER) == {"me": to_value(OTHER)}


def _is_available(store: RedisStore) -> bool:
    with contextlib.suppress(StoreUnavailable):
        return _is_mine(KEY)(store) and _is_mine(OTHER)(store)
    return False


@pytest.mark.parametrize("answers", ["twice", "late", "crossed"])
def test_an_answer_never_reaches_another_request(
    server: Valkey, proxy: FaultProxy, open_store: OpenStore, answers: str
) -> None:
    fill(open_store(server))
    url = f"redis://127.0.0.1:{proxy.port}/0"
    stores = [open_store(url, HASTY), open_store(url, HASTY)]
    for store in stores:
        assert _is_available(store)
    proxy.answers(answers)
    for number in range(24):
        with contextlib.suppress(StoreUnavailable):
            assert _is_mine((KEY, OTHER)[number % 2])(stores[number % 3 % 2])
    proxy.reset()
    wait_until(lambda: all(map(_is_available, stores)))


@pytest.mark.parametrize("answers", BAD)
def test_a_bad_answer_about_a_session_of_express_is_right_or_unavailable(
    server: Valkey, proxy: FaultProxy, answers: str
) -> None:
    url = f"redis://127.0.0.1:{proxy.port}/0"
    with closing(ExpressStore.from_url(url, HASTY)) as store, closing(ExpressStore.from_url(server.url)) as direct:
        fill(direct)
        proxy.answers(answers)
        calls: tuple[Callable[[], object], ...] = (
            lambda: load(store).fields["me"] == to_value(KEY),
            lambda: store.update(KEY, Changes({"n": b"1"}), HOUR) is Outcome.APPLIED,
            lambda: store.find_keys_of("nobody") == [],
        )
        for call in calls:
            with contextlib.suppress(StoreUnavailable):
                assert call()
        proxy.reset()
        assert load(direct).fields["me"] == to_value(KEY)


# ---- a server that answers each packet with what a test says


@contextlib.contextmanager
def bad_server(answer: Callable[[int, bytes], Iterator[bytes]]) -> Iterator[str]:
    """Serve Redis's protocol: `answer` gets the number of commands, and the reply to the PING after them.

    Yield the URL.
    """

    def serve(connection: socket.socket) -> None:
        while data := connection.recv(65536):
            if b"HELLO" in data:
                connection.sendall(b"%1\r\n$5\r\nproto\r\n:3\r\n")
                continue
            commands = len(re.findall(rb"\*\d+\r\n\$", data)) - 1
            for piece in answer(commands, data[data.rindex(b"PING\r\n") + 6 :]):
                connection.sendall(piece)

    with tcp_server(serve) as port:
        yield f"redis://127.0.0.1:{port}/0"


REPLIES = {
    "another type": b":1\r\n",
    "a map of numbers": b"%1\r\n:1\r\n:2\r\n",
    "a list in a map": b"%1\r\n*1\r\n:1\r\n:2\r\n",
    "a number in a session": b"%2\r\n$1\r\n@\r\n$4\r\n1:1:\r\n$1\r\na\r\n:1\r\n",
    "a pushed message": b">2\r\n$1\r\na\r\n$1\r\nb\r\n",
    "a nested array": b"*1\r\n" * 5000,
    "null": b"_\r\n",
    "a huge number": b":" + b"9" * 5000 + b"\r\n",
    "a redirection without an address": b"-MOVED x\r\n",
    "a script that is missing": b"-NOSCRIPT No matching script\r\n",
}


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_a_reply_of_another_form_is_unavailable(reply: bytes, name: str, open_store: OpenStore) -> None:
    with bad_server(lambda commands, mark: iter([reply * commands + mark])) as url, pytest.raises(StoreUnavailable):
        OPERATIONS[name](open_store(url, HASTY))


def drip(*_given: object) -> Iterator[bytes]:
    """Yield a byte each 0.03 s, within each socket's timeout, for 3 s or until the client has gone."""
    for _ in range(100):
        time.sleep(0.03)
        yield b"+"


def test_a_reply_that_comes_byte_by_byte_is_given_up_in_time(open_store: OpenStore) -> None:
    with bad_server(drip) as url:
        started = time.monotonic()
        with pytest.raises(StoreUnavailable, match=r"no reply within 0\.5 s"):
            open_store(url, CALM).load(KEY)
        assert time.monotonic() - started < SECONDS


@pytest.mark.parametrize(
    "reply", [b"$400000000\r\n", b"*400000000\r\n", b"%1\r\n$1\r\n@\r\n$400000000\r\nx", b"*2\r\n*400000000\r\n"]
)
def test_an_announced_length_above_the_bound_is_refused(reply: bytes, open_store: OpenStore) -> None:
    with (
        bad_server(lambda *_: iter([reply])) as url,
        pytest.raises(StoreUnavailable, match="replies of more than 8388608 bytes"),
    ):
        open_store(url, Budgets(5, 5, retries=0, deadline=5)).load(KEY)


def test_an_array_in_the_value_of_a_session_is_not_a_length(server: Valkey, open_store: OpenStore) -> None:
    store = open_store(server)
    value = b"\r\n*400000000\r\n$999999999\r\n" * 10_000
    store.delete(KEY)
    store.create(KEY, {"a": value}, None, HOUR)
    assert fields_of(store) == {"a": value}


@pytest.mark.parametrize(
    ("piece", "refusal"),
    [
        (b"x" * 65536, "a line of more than 65536 bytes"),
        (b"\r\n$1000\r\n" + b"x" * 1000, "replies of more than 8388608 bytes"),
    ],
)
def test_a_reply_above_the_bound_is_refused_without_an_announcement(
    piece: bytes, refusal: str, open_store: OpenStore
) -> None:
    def flood(*_: object) -> Iterator[bytes]:
        yield b"*2000000\r\n+"
        while True:
            yield piece

    with bad_server(flood) as url, pytest.raises(StoreUnavailable, match=refusal):
        open_store(url, Budgets(5, 5, retries=0, deadline=5)).load(KEY)


def test_the_text_of_an_error_is_bounded_and_without_arguments(open_store: OpenStore) -> None:
    error = b"-ERR unknown command 'HGETALL', with args beginning with: 'secret'\r\n"
    long = b"-ERR " + b"x" * 10_000 + b"\r\n"
    with bad_server(lambda commands, mark: iter([error * commands + mark])) as url:
        with pytest.raises(StoreUnavailable) as caught:
            open_store(url, CALM).load(KEY)
        assert str(caught.value) == "Redis: unknown command 'HGETALL'"
    with bad_server(lambda commands, mark: iter([long * commands + mark])) as url:
        with pytest.raises(StoreUnavailable) as caught:
            open_store(url, CALM).load(KEY)
        assert len(str(caught.value)) < 200


def test_a_server_that_is_loading_says_so(open_store: OpenStore) -> None:
    loading = b"-LOADING Redis is loading the dataset in memory\r\n"
    with bad_server(lambda commands, _: iter([loading * (commands + 1)])) as url:
        with pytest.raises(StoreUnavailable, match=r"^Redis: LOADING"):
            open_store(url, CALM).load(KEY)


def test_a_handshake_that_comes_byte_by_byte_is_given_up_in_time(open_store: OpenStore) -> None:
    def serve(connection: socket.socket) -> None:
        for byte in drip():
            connection.sendall(byte)

    with tcp_server(serve) as port:
        started = time.monotonic()
        with pytest.raises(StoreUnavailable):
            open_store(f"redis://127.0.0.1:{port}/0", CALM).load(KEY)
        assert time.monotonic() - started < SECONDS


def test_sessions_said_to_be_of_another_type_are_not_quarantined(
    server: Valkey, proxy: FaultProxy, open_store: OpenStore
) -> None:
    direct, store = open_store(server), open_store(f"redis://127.0.0.1:{proxy.port}/0", HASTY)
    fill(direct)
    proxy.answers("errors")
    with pytest.raises(StoreUnavailable):
        store.load(KEY)
    proxy.reset()
    assert load(direct).fields == {"me": to_value(KEY)}


@pytest.mark.parametrize("info", [b"maxmemory:" + b"9" * 5000 + b"\r\n", b"maxmemory:x\r\n", b""])
def test_a_memory_that_is_not_a_number_is_unknown(info: bytes, open_store: OpenStore) -> None:
    with bad_server(lambda _commands, mark: iter([b"$%d\r\n%b\r\n" % (len(info), info) + mark])) as url:
        assert open_store(url, Budgets(5, 5, retries=0, deadline=5)).used_share() is None


def test_a_scan_that_never_ends_is_given_up(open_store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_SCAN_SECONDS", 0.2)
    cursors = map(b"%d".__mod__, itertools.chain(range(1, 20_000), itertools.repeat(0)))  # it ends, after seconds

    def answer(commands: int, mark: bytes) -> Iterator[bytes]:
        cursor = next(cursors)
        role = b"*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n" * (commands - 1)
        yield b"*2\r\n$%d\r\n%b\r\n*0\r\n" % (len(cursor), cursor) + role + mark

    with bad_server(answer) as url, pytest.raises(StoreUnavailable, match=r"SCAN takes more than 0\.2 s"):
        open_store(url, Budgets(5, 5, retries=0, deadline=5)).count()


def test_an_index_that_has_other_members_each_time_is_given_up(open_store: OpenStore) -> None:
    asked = 0

    def answer(commands: int, mark: bytes) -> Iterator[bytes]:
        nonlocal asked
        asked += 1
        role = b"*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n" * (commands - 1)
        members = b"*1\r\n$36\r\n%036d\r\n" % min(asked, 1000)  # of a session that does not exist
        yield (members if asked % 3 == 1 else b"_\r\n" if asked % 3 == 2 else b"*0\r\n") + role + mark

    with bad_server(answer) as url, pytest.raises(StoreUnavailable, match="in each of 100 passes"):
        open_store(url, Budgets(5, 5, retries=0, deadline=5)).keys_of("alice")
