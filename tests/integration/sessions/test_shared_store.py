"""The attributes of the cookie in a record that another application reads."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nodes.sessions import Changes, Lifetime, SessionOptions
from nodes.sessions.fields import COOKIE_KEY
from nodes.sessions.shared_store import SharedStore
from nodes.sessions.stores.express import ExpressStore
from tests.support.browser import SECRET
from tests.support.records import load
from tests.support.valkey import Valkey

KEY = "k" * 32
LIFETIME = Lifetime(idle=600, absolute=7200)
PLAIN = {"secure": False, "httpOnly": True, "path": "/", "sameSite": "lax"}


class Shared:
    """Sessions that live 3600 s without use, unless they have a life of their own."""

    def __init__(self, server: Valkey) -> None:
        self.client: Any = server.client()
        self.client.flushdb()
        options = SessionOptions(secrets=(SECRET,), max_age=3600)
        self.store = SharedStore(ExpressStore.from_url(server.url), options, is_secure=False)

    def create(self, **fields: Any) -> None:
        assert self.store.create(KEY, self.encoded(fields), None, LIFETIME) is not None

    def encoded(self, fields: dict[str, Any]) -> dict[str, bytes]:
        return {name: self.store.codec.encode(value) for name, value in fields.items()}

    def loaded(self) -> dict[str, Any]:
        record = load(self.store, KEY)
        return {name: self.store.codec.decode(value) for name, value in record.fields.items()}

    def cookie(self) -> dict[str, Any]:
        cookie: dict[str, Any] = json.loads(self.client.get(f"sess:{KEY}"))["cookie"]
        assert (cookie.pop("expires") is None) is (cookie["originalMaxAge"] is None)
        return cookie


@pytest.fixture
def shared(server: Valkey) -> Shared:
    return Shared(server)


def test_a_new_record_has_the_attributes_of_the_cookie_and_its_max_age(shared: Shared) -> None:
    shared.create(a=1)
    assert shared.cookie() == {"originalMaxAge": 3_600_000, **PLAIN}
    assert 3590 < shared.client.ttl(f"sess:{KEY}") <= 3600
    assert shared.loaded() == {"a": 1, COOKIE_KEY: {"max_age": 3600, "expires": None}}


def test_the_lifetime_of_one_session_overrides_the_common_one(shared: Shared) -> None:
    shared.create(**{COOKIE_KEY: {"max_age": 7, "expires": None}})
    assert shared.cookie() == {"originalMaxAge": 7000, **PLAIN}


@pytest.mark.parametrize(
    "change", [{"delete": frozenset({COOKIE_KEY})}, {"set": {COOKIE_KEY: b'{"max_age":null,"expires":null}'}}]
)
def test_a_session_that_loses_its_own_lifetime_has_the_common_one(shared: Shared, change: dict[str, Any]) -> None:
    shared.create(**{COOKIE_KEY: {"max_age": 7, "expires": None}})
    shared.store.update(KEY, Changes(**change), LIFETIME)
    assert shared.cookie() == {"originalMaxAge": 3_600_000, **PLAIN}


@pytest.mark.parametrize("own", [None, [], "x", {"max_age": "x", "expires": []}, {"path": "/x", "secure": True}])
def test_an_invalid_lifetime_of_its_own_is_ignored(shared: Shared, own: Any) -> None:
    shared.create(**{COOKIE_KEY: own})
    assert {"path": "/", "secure": False}.items() <= shared.cookie().items()
    shared.store.update(KEY, Changes(set=shared.encoded({COOKIE_KEY: own})), LIFETIME)
    assert {"path": "/", "secure": False}.items() <= shared.cookie().items()
    assert shared.store.load(KEY) is not None


def test_other_changes_leave_the_cookie_as_it_is(shared: Shared) -> None:
    shared.create(a=1)
    before = json.loads(shared.client.get(f"sess:{KEY}"))
    before["cookie"]["sameSite"] = "strict"
    shared.client.set(f"sess:{KEY}", json.dumps(before), keepttl=True)
    shared.store.update(KEY, Changes(set=shared.encoded({"a": 2})), LIFETIME)
    assert shared.cookie() == {"originalMaxAge": 3_600_000, **PLAIN, "sameSite": "strict"}
