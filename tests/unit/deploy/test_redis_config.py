"""The configuration files of Redis servers agree with each other."""

import re

import pytest

from deploy.compose.secret_files import sentinel_files, server_files
from deploy.compose.services import SENTINELS, SHARDS, STORES
from deploy.redis import config
from deploy.redis.acl import Passwords

PASSWORDS = Passwords()
ADDRESSES = {f"store-{number}": f"127.0.0.1:{7000 + number}@{17000 + number}" for number in range(1, 7)}


def test_servers_of_a_redis_cluster_start_with_one_table_that_covers_every_slot() -> None:
    tables = {name: config.nodes_conf(name, PASSWORDS, ADDRESSES).splitlines() for name in ADDRESSES}
    assert len({tuple(line.replace("myself,", "") for line in lines) for lines in tables.values()}) == 1
    for number, (name, (*rows, variables)) in enumerate(tables.items()):
        assert variables == "vars currentEpoch 3 lastVoteEpoch 0"
        (mine,) = (row.split() for row in rows if "myself" in row)
        assert mine[1] == ADDRESSES[name]
        assert ("master" in mine[2]) is (number < config.SHARDS)
        if number >= config.SHARDS:
            assert mine[3] == rows[number - config.SHARDS].split()[0], "its primary"
    slots = [tuple(map(int, row.split()[8].split("-"))) for row in tables["store-1"][: config.SHARDS]]
    assert (slots[0][0], slots[-1][1]) == (0, 16383)
    assert [first for first, _ in slots[1:]] == [last + 1 for _, last in slots[:-1]]


def test_sentinels_know_the_primary_its_replicas_and_each_other() -> None:
    files = sentinel_files(PASSWORDS, "10.1.2", down_after=4)
    ids = {name: re.findall(r"sentinel myid (\w{40})", files[f"{name}.conf"])[0] for name in SENTINELS}
    assert len(set(ids.values())) == len(SENTINELS)
    for name in SENTINELS:
        text = files[f"{name}.conf"]
        assert "sentinel monitor sessions 10.1.2.11 6379 2\n" in text
        assert re.findall(r"(?:after-milliseconds|failover-timeout) sessions (\d+)", text) == ["4000", "8000"]
        assert re.findall(r"known-replica sessions (\S+)", text) == ["10.1.2.12", "10.1.2.13"]
        others = {f"10.1.2.{last}": ids[other] for other, last in SENTINELS.items() if other != name}
        assert dict(re.findall(r"known-sentinel sessions (\S+) 26379 (\w+)", text)) == others


def test_only_replicas_start_with_a_primary_and_every_server_refuses_to_evict() -> None:
    files = server_files(PASSWORDS, "10.1.2")
    replicas = {name for name in (*STORES, *SHARDS) if "replicaof 10.1.2.11 6379\n" in files[f"{name}.conf"]}
    assert replicas == {"store-2", "store-3"}
    for name in (*STORES, *SHARDS):
        options = dict(line.split(" ", 1) for line in files[f"{name}.conf"].splitlines())
        assert options["maxmemory-policy"] == "noeviction"
        assert options["replica-serve-stale-data"] == "no"
        assert (options["save"], options["appendonly"]) == ('""', "yes")
        assert ("cluster-enabled" in options) is (name in SHARDS) is (f"{name}.nodes.conf" in files)


@pytest.mark.parametrize(("version", "option"), [((7, 0, 0), "listpack"), ((6, 2, 0), "ziplist")])
def test_small_sessions_stay_compact_on_every_version(version: tuple[int, ...], option: str) -> None:
    assert f"hash-max-{option}-value 1024\n" in config.redis_conf(config.redis_options("acl", "folder", version))
