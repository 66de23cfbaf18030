"""Stores from what an application has already: a client of redis-py, an engine of SQLAlchemy."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio
from redis import sentinel
from sqlalchemy import StaticPool, create_engine, event

from nodes.sessions import ExpressStore, Lifetime, RedisStore, SqlStore, StoreUnavailable
from nodes.sessions.stores.redis.from_client import to_url
from tests.support.valkey import Valkey

KEY = "a" * 64
LIFETIME = Lifetime(60, 60)
Sentinel: Any = sentinel.Sentinel
Pool: Any = redis.BlockingConnectionPool


@pytest.fixture
def locked(server: Valkey) -> Iterator[Valkey]:
    """A server with a user, whose password has every sign that URLs give a meaning."""
    with server.client() as operator:
        operator.execute_command("ACL", "SETUSER", "shop", "on", ">p@s:s/w?r#d%40", "~*", "+@all")
        yield server
        operator.execute_command("ACL", "DELUSER", "shop")


@pytest.mark.parametrize("decode", [True, False])
def test_a_store_reaches_the_database_and_account_of_the_client(locked: Valkey, decode: bool) -> None:
    client = redis.Redis(
        "127.0.0.1",
        locked.port,
        3,
        username="shop",
        password="p@s:s/w?r#d%40",
        decode_responses=decode,
        client_name="x",
    )
    with closing(RedisStore.from_client(client, prefix="shop:")) as store:
        assert store.create(KEY, {"a": b"\x01"}, None, LIFETIME) is not None
        assert store.load(KEY) is not None
        store.delete(KEY)
    with closing(ExpressStore.from_client(client, prefix="shop:", owner_field="user")) as shared:
        assert shared.create("an-id-of-express-session", {"a": b"1"}, None, LIFETIME) is not None
        assert client.exists("shop:an-id-of-express-session")
        shared.delete("an-id-of-express-session")
    assert client.ping()  # the application's own is not closed
    wrong = redis.Redis("127.0.0.1", locked.port, username="shop", password="wrong")
    with closing(RedisStore.from_client(wrong)) as store, pytest.raises(StoreUnavailable):
        store.load(KEY)


@pytest.mark.parametrize(
    ("make", "url"),
    [
        (lambda: redis.Redis(), "redis://localhost:6379/0"),
        (lambda: redis.Redis.from_url("redis://h:1/2?health_check_interval=3"), "redis://h:1/2"),
        (lambda: redis.Redis("::1", 1, password="p/w"), "redis://:p%2Fw@[::1]:1/0"),
        (lambda: redis.Redis(unix_socket_path="/run/a b", username="u"), "unix://u@/run/a%20b?db=0"),
        (lambda: redis.Redis(connection_pool=Pool(host="h", timeout=3)), "redis://h:6379/0"),
        (lambda: redis.Redis(ssl=True), "rediss://localhost:6379/0"),
        (
            lambda: redis.Redis(ssl=True, ssl_cert_reqs=ssl.CERT_NONE, ssl_check_hostname=False),
            "rediss://localhost:6379/0?ssl_cert_reqs=none&ssl_check_hostname=false",
        ),
        (
            lambda: Sentinel([("a", 1), ("b", 2)], sentinel_kwargs={"password": "s"}, password="p", db=3).master_for(
                "N"
            ),
            "redis+sentinel://:p@a:1,b:2/N?db=3&sentinel_password=s",
        ),
        (
            lambda: Sentinel([("a", 1)], ssl=True, sentinel_kwargs={"ssl": True}).master_for("N"),
            "rediss+sentinel://a:1/N?db=0",
        ),
    ],
)
def test_a_client_has_this_url(make: Callable[[], Any], url: str) -> None:
    assert to_url(make()) == url
    RedisStore.from_client(make()).close()


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (
            lambda: redis.Redis(credential_provider=redis.UsernamePasswordCredentialProvider("u", "p")),
            "credential_provi",
        ),
        (lambda: redis.Redis(ssl=True, ssl_ca_data="…"), "ssl_ca_data"),
        (lambda: redis.Redis(ssl=True, ssl_ca_certs="/nowhere.pem"), "'ssl_ca_certs' must be the path"),
        (lambda: redis.Redis(redis_connect_func=print), "redis_connect_func"),
        (lambda: Sentinel([("a", 1)]).slave_for("N"), "not of its replicas"),
        (lambda: Sentinel([("a", 1)], ssl=True).master_for("N"), "TLS options of its Sentinels"),
    ],
)
def test_what_a_store_cannot_take_over_is_refused_in_one_line(make: Callable[[], Any], error: str) -> None:
    with pytest.raises(ValueError, match=error) as caught:
        RedisStore.from_client(make())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("client", [redis.asyncio.Redis(), "redis://localhost", None])
def test_other_clients_are_a_type_error(client: Any) -> None:
    with pytest.raises(TypeError, match=r"must be a redis\.Redis or redis\.RedisCluster"):
        RedisStore.from_client(client)
    with pytest.raises(TypeError, match=r"must be a redis\.Redis or redis\.RedisCluster"):
        ExpressStore.from_client(client)
    with pytest.raises(TypeError, match=r"must be a sqlalchemy\.Engine"):
        SqlStore.from_engine(client)


def test_a_store_and_the_engine_of_the_application_go_on_side_by_side(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'shop.db'}", pool_pre_ping=True, pool_size=1, max_overflow=0)
    with engine.begin() as transaction:  # holds the only connection of the application's pool
        transaction.exec_driver_sql("SELECT 1")
        with closing(SqlStore.from_engine(engine, table="shop_sessions")) as store:
            store.create_schema()
            assert store.create(KEY, {"a": b"\x01"}, None, LIFETIME) is not None
            assert store.load(KEY) is not None
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM shop_sessions").scalar_one() == 1
    engine.dispose()


def with_listener() -> Any:
    engine = create_engine("postgresql+psycopg://u:p@h/db")
    event.listen(engine, "do_connect", lambda *_: None)
    return engine


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: create_engine("sqlite://"), "names no file"),
        (lambda: create_engine("sqlite:///:memory:", poolclass=StaticPool), "names no file"),
        (lambda: create_engine("sqlite:///shop.db", creator=lambda: None), "a creator"),
        (lambda: create_engine("mysql+pymysql://u:p@h/db", connect_args={"ssl": {"ca": "…"}}), "connect_args .ssl."),
        (
            lambda: create_engine("sqlite:///a", execution_options={"schema_translate_map": {None: "b"}}),
            "translate_map",
        ),
        (with_listener, "a listener of do_connect"),
    ],
)
def test_an_engine_that_is_more_than_its_url_is_refused(make: Callable[[], Any], error: str) -> None:
    with pytest.raises(ValueError, match=error) as caught:
        SqlStore.from_engine(make())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "options", [{"isolation_level": "SERIALIZABLE"}, {"pool_pre_ping": True}, {"connect_args": {"connect_timeout": 30}}]
)
def test_pool_timeouts_and_isolation_level_of_the_engine_do_not_matter(options: dict[str, Any]) -> None:
    SqlStore.from_engine(create_engine("mysql+pymysql://u:p%40@h/db?charset=utf8mb4", **options)).close()
