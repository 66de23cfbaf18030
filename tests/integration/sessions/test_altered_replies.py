"""A network that alters a bit within each value that Redis sends: no session is lost by a read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any

import pytest

from nodes.sessions import EncryptedStore, RedisStore, Store, StoreUnavailable, current_session
from nodes.sessions.stores.express import ExpressStore
from tests.integration.sessions.test_redis_index import age
from tests.support.altered import AlteredReplies, altered_replies
from tests.support.browser import Browser, application
from tests.support.records import HOUR, PATIENT
from tests.support.valkey import Valkey

MAKERS: dict[str, Callable[[str], Store]] = {
    "redis": lambda url: RedisStore.from_url(url, PATIENT),
    "encrypted": lambda url: EncryptedStore(RedisStore.from_url(url, PATIENT), [b"k" * 32]),
    "express": lambda url: ExpressStore.from_url(url, PATIENT),
}
CONTENT = {"name": "alice", "cart": ["apple", "pear"], "visits": 3, "address": {"city": "Berlin", "zip": "10115"}}


@pytest.fixture
def network(server: Valkey) -> Iterator[AlteredReplies]:
    with altered_replies(server.port) as made:
        yield made


@pytest.fixture(params=MAKERS)
def make(request: pytest.FixtureRequest) -> Callable[[str], Store]:
    return MAKERS[request.param]


@pytest.mark.usefixtures("client")
@pytest.mark.parametrize("every", [1, 2])
def test_sessions_outlive_altered_bits_in_the_values_that_are_read(
    server: Valkey, network: AlteredReplies, make: Callable[[str], Store], every: int
) -> None:
    with closing(make(server.url)) as right, closing(make(network.url)) as altered:
        browsers = [Browser(application(right)) for _ in range(6)]
        for number, browser in enumerate(browsers):
            with browser.request():
                current_session.renew(f"user {number}")
            browser.put(**CONTENT)
        node = application(altered)
        network.every = every
        answers = [browser.at(node).visit(dict) for _ in range(40) for browser in browsers]
        network.every = 0
        assert {answer.status for answer in answers} <= {200, 503}
        if isinstance(altered, EncryptedStore):  # which finds each change of a value
            assert all(answer.value == CONTENT for answer in answers if answer.status == 200)
        for number, browser in enumerate(browsers):
            assert browser.visit(dict).value == CONTENT
            assert browser.owner == f"user {number}"


@pytest.mark.parametrize("every", [1, 2, 3])
def test_a_list_of_a_user_outlives_altered_bits(
    server: Valkey, client: Any, network: AlteredReplies, every: int
) -> None:
    """Sessions that seemed dead, or of another user, would be removed from the index: a logout would miss them."""
    with (
        closing(RedisStore.from_url(server.url, PATIENT)) as right,
        closing(RedisStore.from_url(network.url, PATIENT)) as altered,
    ):
        expected = {hashlib.sha256(b"%d" % number).hexdigest() for number in range(4)}
        for each in expected:
            right.create(each, {}, "alice", HOUR)
        age(client)
        network.every = every
        lists = 0
        for _ in range(200):
            with suppress(StoreUnavailable):
                assert set(altered.keys_of("alice")) == expected
                lists += 1
        assert lists
        assert set(right.keys_of("alice")) == expected


def test_a_list_that_a_network_alters_in_the_same_way_each_time_is_never_returned(
    server: Valkey, client: Any, network: AlteredReplies
) -> None:
    """The member that it names instead is dead and removed, and yet listed again."""
    with (
        closing(RedisStore.from_url(server.url, PATIENT)) as right,
        closing(RedisStore.from_url(network.url, PATIENT)) as altered,
    ):
        for number in range(4):
            right.create(hashlib.sha256(b"%d" % number).hexdigest(), {}, "alice", HOUR)
        age(client)
        network.every, network.advances = 1, False
        with pytest.raises(StoreUnavailable, match="has dead members in each of 100 passes"):
            altered.keys_of("alice")
