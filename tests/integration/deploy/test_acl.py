"""The store lets in the nodes' user alone, with what the session layer sends and nothing more."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis

from deploy import ClusterError, StoreKind
from deploy.local.redis_server import LocalRedis
from deploy.redis import acl
from nodes.sessions import Record, RedisStore, SessionMark
from nodes.sessions.store import Changes, Lifetime, Outcome, StoreUnavailable
from nodes.sessions.stores.express import ExpressStore
from nodes.sessions.stores.redis import Durability
from tests.support.several import SeveralServers

LIFETIME = Lifetime(idle=60, absolute=600)


@pytest.fixture(scope="module")
def servers() -> Iterator[LocalRedis]:
    """A store as a cluster has it."""
    with closing(SeveralServers(StoreKind.REDIS)) as made:
        yield made.redis


@pytest.fixture(scope="module")
def url(servers: LocalRedis) -> str:
    return servers.url()


def test_the_express_store_can_do_everything_it_needs_and_has_no_other_keys() -> None:
    with closing(SeveralServers(StoreKind.REDIS, acl.SHARED_WITH_EXPRESS)) as servers:
        store = ExpressStore.from_url(servers.url)
        assert store.create("a" * 32, {"visits": b"1"}, "alice", LIFETIME) is not None
        assert store.update("a" * 32, Changes({"visits": b"2"}), LIFETIME) is Outcome.APPLIED
        assert store.update("a" * 32, Changes(), LIFETIME) is Outcome.APPLIED
        limits = RedisStore.from_url(servers.url, prefix="rate_limits:")
        assert limits.create("a" * 64, {}, None, LIFETIME) is not None
        accounts = RedisStore.from_url(servers.url, prefix="accounts:")
        assert accounts.create("a" * 64, {}, None, LIFETIME) is not None
        assert list(accounts.keys()) == ["a" * 64]
        assert store.find_keys_of("alice") == list(store.keys()) == ["a" * 32]
        store.delete("a" * 32)
        assert store.retire("a" * 32, SessionMark()) is Outcome.ABSENT
        assert store.load("a" * 32) == SessionMark()
        assert 0 < (store.used_share() or 0) < 1
        store.create("b" * 32, {}, None, LIFETIME)
        store.quarantine("b" * 32)
        with redis.Redis.from_url(servers.url) as client:
            for command in ("GET session:{x}", "SET other 1", "FLUSHALL", "CONFIG GET *", "KEYS *"):
                with pytest.raises(redis.exceptions.NoPermissionError):
                    client.execute_command(*command.split())


@pytest.fixture
def node(url: str) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(url) as client:
        yield client


def test_the_redis_store_can_do_everything_it_needs(url: str, node: "redis.Redis") -> None:
    store = RedisStore.from_url(url)
    store.ping()
    assert 0 < (store.used_share() or 0) < 1
    assert store.create("a" * 64, {"visits": b"\x01"}, "alice", LIFETIME) is not None
    changed = Changes(set={"visits": b"\x02"}, delete=frozenset({"cart"}), expect={"visits": b"\x01"})
    assert store.update("a" * 64, changed, LIFETIME) is Outcome.APPLIED
    record = store.load("a" * 64)
    assert isinstance(record, Record)
    assert record.fields == {"visits": b"\x02"}
    assert store.retire("c" * 64, SessionMark()) is Outcome.ABSENT
    assert store.load("c" * 64) == SessionMark()
    store.quarantine("a" * 64)
    assert store.load("a" * 64) is None
    for number in range(257):  # the last of them looks after the index
        assert store.create(f"{number:064x}", {}, "bob", LIFETIME) is not None
    for prefix in ("rate_limits:", "accounts:"):
        assert RedisStore.from_url(url, prefix=prefix).create("a" * 64, {}, None, LIFETIME) is not None
    store.delete("0" * 64)
    assert store.keys_of("bob") == [f"{number:064x}" for number in range(1, 257)]
    assert store.count() == 256
    assert store.create("b" * 64, {}, None, LIFETIME) is not None
    store.delete("b" * 64)
    assert store.load("b" * 64) is None
    assert node.type("session:{" + "a" * 64 + "}") == b"none"
    store.close()


FORBIDDEN = [
    "FLUSHALL", "FLUSHDB", "KEYS *", "RANDOMKEY", "DBSIZE", "INFO", "INFO all", "SWAPDB 0 1",
    "CONFIG GET *", "CONFIG SET dir /", "CONFIG REWRITE", "ACL LIST", "ACL WHOAMI", "ACL SETUSER x on nopass +@all",
    "SAVE", "BGSAVE", "BGREWRITEAOF", "SHUTDOWN NOSAVE", "DEBUG SLEEP 0", "MONITOR", "SLOWLOG GET", "LATENCY DOCTOR",
    "REPLICAOF NO ONE", "FAILOVER", "CLUSTER INFO", "SYNC", "PSYNC ? -1", "MODULE LIST", "MODULE LOAD /x",
    "CLIENT LIST", "CLIENT KILL TYPE normal", "CLIENT PAUSE 1", "CLIENT NO-EVICT on", "CLIENT TRACKING on",
    "SCRIPT FLUSH", "SCRIPT KILL", "FUNCTION LIST", "FUNCTION LOAD x", "FCALL x 0", "EVAL return 0", "MEMORY DOCTOR",
    "PUBLISH session:x y", "SUBSCRIBE session:x", "PSUBSCRIBE *", "COMMAND COUNT", "OBJECT HELP", "LASTSAVE",
    "SET session:x y", "GET session:x", "APPEND session:x y", "DUMP session:x", "RESTORE session:x 0 y",
    "MIGRATE h 1 session:x 0 1", "MOVE session:x 1", "COPY session:x session:y", "PERSIST session:x", "SORT session:x",
    "UNLINK session:x", "LPUSH session:x y", "SADD session:x y", "XADD session:x * a b",
    "WAITAOF 0 0 0", "MULTI", "WATCH session:x", "CLIENT SETNAME x", "CLIENT REPLY OFF", "HSCAN session:x 0",
    "ZRANGEBYSCORE session:x 0 1", "ZSCORE session:x y", "ZPOPMIN session:x", "ZUNIONSTORE session:x 1 session:y",
    "ZADD other 1 y", "ZRANGE other 0 -1", "ZREM other y", "ZRANDMEMBER other", "PTTL other", "EXISTS other",
    "HLEN other", "MEMORY USAGE other",
    "HGETALL other", "HSET other a b", "DEL other", "RENAME session:x other", "RENAME other session:x",
]  # fmt: skip


@pytest.mark.parametrize("command", FORBIDDEN)
def test_a_forbidden_command_is_denied(node: "redis.Redis", command: str) -> None:
    # DEBUG and MODULE are "not allowed" to anybody; all others are for want of permission.
    with pytest.raises(redis.ResponseError, match=r"NOPERM|(?i:permission)|command not allowed"):
        node.execute_command(*command.split())  # type: ignore[no-untyped-call]


def test_the_redis_store_may_wait_for_replicas(url: str, node: "redis.Redis") -> None:
    store = RedisStore.from_url(url, durability=Durability.EVERY_WRITE, replicas=1)
    with pytest.raises(StoreUnavailable, match="only 0 of 1"):
        store.create("c" * 64, {}, "carol", LIFETIME)
    store.close()


def test_a_script_can_do_no_more_than_its_caller(node: "redis.Redis") -> None:
    for body in ("redis.call('FLUSHALL')", "redis.call('HSET', 'other', 'a', 'b')", "redis.call('CONFIG', 'GET', '*')"):
        with pytest.raises(redis.ResponseError, match=r"not allowed from script|ACL|permission"):
            node.evalsha(node.script_load(f"return {body}"), 0)


def test_the_operator_reads_statistics_and_no_session(servers: LocalRedis, node: "redis.Redis") -> None:
    before = servers.control.statistics()
    for _ in range(3):
        node.hgetall("session:x")
    after = servers.control.statistics()
    assert after.commands["hgetall"] - before.commands.get("hgetall", 0) == 3
    assert 3 <= after.reads - before.reads < 20, "how the connections begin is among them"
    assert "info" not in after.commands
    for command in ("HGETALL session:x", "EXISTS session:x", "SCAN 0", "KEYS *", "CONFIG GET *", "MONITOR"):
        with pytest.raises(ClusterError, match="permission"):
            servers.ask("store", *command.split())


def test_no_other_user_can_log_in(url: str) -> None:
    login, _, place = url.rpartition("@")
    password = login.rpartition(":")[2]
    for who in ("", "default:@", ":@", f"default:{password}@", f":{password}@", "node:wrong@", "root:root@"):
        with redis.Redis.from_url(f"redis://{who}{place}") as client, pytest.raises(redis.AuthenticationError):
            client.ping()


def test_a_server_listens_locally_keeps_nothing_on_disk_and_evicts_no_session(servers: LocalRedis) -> None:
    conf = Path(servers.stages[0][0].command(1234)[-1])
    for option in ("bind 127.0.0.1", 'save ""', "appendonly no", "maxmemory-policy noeviction"):
        assert option in conf.read_text().splitlines()
    assert conf.stat().st_mode & 0o777 == 0o600


def test_the_acl_file_has_hashes_and_only_commands_that_the_server_knows() -> None:
    passwords = acl.Passwords()
    assert passwords.node not in acl.redis_acl(passwords, (8, 0, 0))
    assert "setinfo" in acl.redis_acl(passwords, (8, 0, 0))
    assert "setinfo" not in acl.redis_acl(passwords, (7, 0, 15))


def test_each_user_of_a_replicated_store_has_its_own_password() -> None:
    passwords = acl.Passwords()
    texts = acl.redis_acl(passwords, (8, 0, 0), is_replicated=True), acl.sentinel_acl(passwords)
    words = [passwords.node, passwords.node_at_sentinels, passwords.replica, passwords.sentinel, passwords.operator]
    assert len(set(words)) == len(words)
    assert not any(word in text for word in words for text in texts)
    assert not any(word in repr(passwords) for word in words)
    rights = [dict(line.split(" ", 2)[1:] for line in text.splitlines()) for text in texts]
    assert [list(users) for users in rights] == [
        ["default", "node", "replica", "sentinel", "operator"],
        ["default", "node", "sentinel", "operator"],
    ]
    assert all(users["default"].startswith("off resetpass") for users in rights)
    assert " +role " in f"{rights[0]['node']} "
