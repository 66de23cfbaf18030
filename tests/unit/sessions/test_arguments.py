"""Whatever is given to the library's classes is checked at once: an error in one line that says what to write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis
import redis.asyncio
import sqlalchemy
from flask import Flask

from nodes.sessions import (
    EncryptedStore,
    Encryption,
    ExpressStore,
    FileStore,
    MemoryStore,
    Outage,
    OutagePolicy,
    RedisStore,
    Sessions,
    SqlStore,
    Sweeper,
    fresh_login,
)

URL = "redis://:a-password@127.0.0.1:1"
SQLITE = "sqlite:////tmp/never-opened.db"
STORE: Any = MemoryStore()
KEY = bytes(32)
ASYNC = redis.asyncio.Redis()
sessions: Any = Sessions
redis_store: Any = RedisStore
sql_store: Any = SqlStore
encrypted: Any = EncryptedStore
sweeper: Any = Sweeper
fresh: Any = fresh_login
memory: Any = MemoryStore
file: Any = FileStore
express: Any = ExpressStore
policy: Any = OutagePolicy

SERVER = "the URL must name its server as host or host:port, with a port from 1 to 65535"
SLASH = "the URL has '@' after its server; write '/' in a password as %2F"
MARK = "the URL has an unknown option with '@'; write '?' in a password as %3F"
URLS = {
    "redis://:a-password@h:0": SERVER,
    "redis://:a-password@h:x/0": SERVER,
    "rediss://:a-password@h:70000": SERVER,
    "redis://:a-password@h1:1,h2:2/0": SERVER,
    "redis://:a-password@h 1/0": SERVER,
    "redis://n:a-password/0": SERVER,
    "redis://n:x/a-password@h:1/0": SLASH,
    "redis://n:a-password/x@h:1/0": SLASH,
    "redis+sentinel://n:a-password/x@h1/sessions": SLASH,
    "redis+cluster://n:x/a-password@h1": SLASH,
    "redis://n:x?a-password@h:1/0": MARK,
    "redis://n:a-password?x=1@h:1/0": MARK,
    "redis+sentinel://n:a-password?x@h1/sessions": MARK,
}

WRONG: list[tuple[Callable[[], object], str]] = [
    (lambda: sessions(Flask("a"), store=URL), "store must be a store, such as RedisStore.from_url(url) or"),
    (lambda: sessions(Flask("a"), store=MemoryStore), "store must be a store, "),
    (lambda: sessions(Flask("a"), store=redis.Redis()), "store must be a store, "),
    (lambda: sessions("app", store=STORE), "app must be a Flask application, not 'app'"),
    (lambda: Sessions.from_environment(Flask("a"), options={}), "options must be a SessionOptions, not {}"),  # type: ignore[arg-type]
    (lambda: redis_store(URL), "connections must be those of a store, not str: write from_url(url)"),
    (lambda: redis_store(redis.Redis()), "connections must be those of a store, not redis.client.Redis"),
    (lambda: redis_store.from_url(None), "url must be a str, not NoneType"),
    *((lambda url=url: redis_store.from_url(url), text) for url, text in URLS.items()),
    (lambda: redis_store.from_url(URL, prefix=None), "prefix must be a str, not None"),
    (lambda: redis_store.from_url(URL, budgets=5), "budgets must be a Budgets, not 5"),
    (lambda: redis_store.from_url(URL, outage="wait"), "outage must be an OutagePolicy, "),
    (lambda: redis_store.from_url(URL, durability="all"), "durability must be one of 'primary', "),
    (lambda: redis_store.from_client(ASYNC), "client must be a redis.Redis or redis.RedisCluster, not redis.asyncio."),
    (lambda: express(URL), "connections must be those of a store, not str"),
    (lambda: express.from_url(URL, owner_field=None), "owner_field must be a str, not None"),
    (lambda: sql_store(SQLITE), "engine must be a sqlalchemy.Engine, not str: write SqlStore.from_url(url)"),
    (lambda: sql_store.from_url(None), "url must be a str, not NoneType"),
    (lambda: sql_store.from_url(SQLITE, table=""), "table must have 1 to 64 characters, not ''"),
    (lambda: sql_store.from_engine(sqlalchemy.create_engine(SQLITE), table=""), "table must have 1 to 64 characters"),
    (lambda: encrypted(STORE, KEY), "keys must be a tuple of bytes, such as (bytes.fromhex(key),)"),
    (lambda: encrypted(STORE, ["00" * 32]), "keys must be a tuple of bytes, "),
    (lambda: encrypted(STORE, (KEY,), "all"), "encryption must be one of 'require', 'write', 'read', not 'all'"),
    (lambda: encrypted(MemoryStore, (KEY,)), "store must be a store, "),
    (lambda: sweeper(STORE, "x"), "seconds must be a number, not 'x'"),
    (lambda: sweeper(STORE, 0), "seconds must be above 0, not 0"),
    (lambda: sweeper("x", 60), "store must be a store, "),
    (lambda: fresh(seconds="5"), "seconds must be a number, not '5'"),
    (lambda: fresh(lambda: "a view"), "fresh_login must be called: write @fresh_login() or"),
    (lambda: memory(0), "max_sessions must be at least 1, not 0"),
    (lambda: file(None), "folder must be a str or a Path, not None"),
    (lambda: policy(Outage.WAIT, seconds="x"), "seconds must be a number, not 'x'"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "text"), WRONG, ids=range(len(WRONG)))
def test_a_wrong_argument_is_an_error_in_one_line(make: Callable[[], object], text: str) -> None:
    with pytest.raises((TypeError, ValueError)) as refused:
        make()
    message = str(refused.value)
    assert message.startswith(text)
    assert "\n" not in message
    assert "a-password" not in message


def test_the_value_of_an_enum_counts_as_its_member() -> None:
    assert policy("wait").waits
    assert encrypted(STORE, (KEY,), "require")._encryption is Encryption.REQUIRE
    with pytest.raises(ValueError, match="replicas must be at least 1 for durability every_write"):
        redis_store.from_url(URL, durability="every_write")
