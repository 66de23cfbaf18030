"""The store lets in the nodes' user alone, with what the session layer sends and nothing more."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from deploy.local import redis_server as store_server
from deploy.local.redis_server import StoreServer
from deploy.ports import free_ports
from deploy.redis import acl
from nodes.sessions import RedisStore
from nodes.sessions.store import Changes, Lifetime, Outcome, StoreUnavailable
from nodes.sessions.stores.express import ExpressStore
from nodes.sessions.stores.redis import Durability

PASSWORD, WATCHWORD = "p" * 64, "w" * 64
LIFETIME = Lifetime(idle=60, absolute=600)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A store as a cluster has it."""
    yield from running_store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def express_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One that a Node application shares."""
    yield from running_store(tmp_path_factory.mktemp("express"), acl.SHARED_WITH_EXPRESS)


def running_store(folder: Path, rights: acl.Rights = acl.SESSIONS) -> Iterator[str]:
    server = StoreServer()
    (folder / "users.acl").write_text(server.acl_file(PASSWORD, rights) + server.observer_line(WATCHWORD))
    port = free_ports(1)[0]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(server.command(port, folder / "users.acl", folder), stdout=log, stderr=log)
    url = store_server.url(PASSWORD, port)
    deadline = time.monotonic() + 10
    while not store_server.answers(url):
        assert process.poll() is None, (folder / "log").read_text()
        assert time.monotonic() < deadline
    yield url
    process.kill()
    process.wait()


def test_what_is_shared_with_express_can_do_all_it_does_and_knows_no_other_keys(express_url: str) -> None:
    store = ExpressStore.from_url(express_url)
    assert store.create("a" * 32, {"visits": b"1"}, "alice", LIFETIME) is not None
    assert store.update("a" * 32, Changes({"visits": b"2"}), LIFETIME) is Outcome.APPLIED
    assert store.update("a" * 32, Changes(), LIFETIME) is Outcome.APPLIED
    assert RedisStore.from_url(express_url, prefix="rate_limits:").create("a" * 64, {}, None, LIFETIME) is not None
    assert list(store.keys()) == ["a" * 32]
    assert store.delete("a" * 32) is not None
    store.create("b" * 32, {}, None, LIFETIME)
    store.quarantine("b" * 32)
    with redis.Redis.from_url(express_url) as client:
        for command in ("GET session:{x}", "SET other 1", "FLUSHALL", "CONFIG GET *", "KEYS *"):
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*command.split())


@pytest.fixture
def node(url: str) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(url) as client:
        yield client


def test_the_session_layer_can_do_all_it_does(url: str, node: "redis.Redis") -> None:
    store = RedisStore.from_url(url)
    store.ping()
    assert store.create("a" * 64, {"visits": b"\x01"}, "alice", LIFETIME) is not None
    changed = Changes(set={"visits": b"\x02"}, delete=frozenset({"cart"}), expect={"visits": b"\x01"})
    assert store.update("a" * 64, changed, LIFETIME) is Outcome.APPLIED
    record = store.load("a" * 64)
    assert record is not None
    assert record.fields == {"visits": b"\x02"}
    store.quarantine("a" * 64)
    assert store.load("a" * 64) is None
    for number in range(257):  # the last of them looks after the index
        assert store.create(f"{number:064x}", {}, "bob", LIFETIME) is not None
    assert RedisStore.from_url(url, prefix="rate_limits:").create("a" * 64, {}, None, LIFETIME) is not None
    store.delete("0" * 64)
    assert store.keys_of("bob") == [f"{number:064x}" for number in range(1, 257)]
    assert store.count() == 256
    assert store.create("b" * 64, {}, None, LIFETIME) is not None
    assert store.delete("b" * 64) is not None
    assert node.type("session:{" + "a" * 64 + "}") == b"none"
    store.close()


FORBIDDEN = [
    "FLUSHALL", "FLUSHDB", "KEYS *", "RANDOMKEY", "DBSIZE", "INFO", "SWAPDB 0 1",
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
    "HGETALL other", "HSET other a b", "DEL other", "RENAME session:x other", "RENAME other session:x",
]  # fmt: skip


@pytest.mark.parametrize("command", FORBIDDEN)
def test_a_forbidden_command_is_denied(node: "redis.Redis", command: str) -> None:
    # DEBUG and MODULE are "not allowed" to anybody; all others are for want of permission.
    with pytest.raises(redis.ResponseError, match=r"NOPERM|(?i:permission)|command not allowed"):
        node.execute_command(*command.split())  # type: ignore[no-untyped-call]


def test_the_session_layer_can_wait_for_replicas_and_never_asks_for_what_it_may_not(
    url: str, node: "redis.Redis"
) -> None:
    store = RedisStore.from_url(url, durability=Durability.EVERY_WRITE, replicas=1)
    with pytest.raises(StoreUnavailable, match="only 0 of 1"):
        store.create("c" * 64, {}, "carol", LIFETIME)
    store.close()


def test_a_script_can_do_no_more_than_its_caller(node: "redis.Redis") -> None:
    for body in ("redis.call('FLUSHALL')", "redis.call('HSET', 'other', 'a', 'b')", "redis.call('CONFIG', 'GET', '*')"):
        with pytest.raises(redis.ResponseError, match=r"not allowed from script|ACL|permission"):
            node.evalsha(node.script_load(f"return {body}"), 0)


def test_the_observer_reads_statistics_and_no_session(url: str, node: "redis.Redis") -> None:
    port = int(url.rpartition(":")[2].partition("/")[0])
    before = store_server.statistics(store_server.observer(WATCHWORD, port))
    for _ in range(3):
        node.hgetall("session:x")
    after = store_server.statistics(store_server.observer(WATCHWORD, port))
    assert after.commands["hgetall"] - before.commands.get("hgetall", 0) == 3
    assert 3 <= after.reads - before.reads < 20, "how two connections begin is among them"
    assert "info" not in after.commands
    with store_server.observer(WATCHWORD, port) as client:
        for command in ("HGETALL session:x", "EXISTS session:x", "SCAN 0", "KEYS *", "CONFIG GET *", "MONITOR"):
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*command.split())


def test_nobody_else_comes_in(url: str) -> None:
    place = url.rpartition("@")[2]
    for who in ("", "default:@", ":@", f"default:{PASSWORD}@", f":{PASSWORD}@", "node:wrong@", "admin:admin@"):
        with redis.Redis.from_url(f"redis://{who}{place}") as client, pytest.raises(redis.AuthenticationError):
            client.ping()


def test_it_listens_on_this_machine_alone_keeps_nothing_on_disk_and_evicts_nobody(tmp_path: Path) -> None:
    command = " ".join(StoreServer().command(1234, tmp_path / "users.acl", tmp_path))
    for option in ("--bind 127.0.0.1", "--save  ", "--appendonly no", "--maxmemory-policy noeviction"):
        assert option in command


def test_the_password_is_in_the_acl_file_as_a_hash_and_old_servers_get_a_list_that_they_know() -> None:
    assert PASSWORD not in acl.acl_file(PASSWORD, (8, 0, 0))
    assert "setinfo" in acl.acl_file(PASSWORD, (8, 0, 0))
    assert "setinfo" not in acl.acl_file(PASSWORD, (7, 0, 15))


def test_of_several_servers_each_user_has_a_password_of_its_own_and_only_as_a_hash() -> None:
    passwords = acl.Passwords()
    texts = acl.acl_file(passwords.node, (8, 0, 0), others=passwords), acl.sentinel_acl_file(passwords)
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
