"""A store from an application's client of several Redis servers."""

from __future__ import annotations

from contextlib import closing
from typing import Any
from urllib.parse import parse_qs, urlsplit

from redis import sentinel

from nodes.sessions import Budgets, RedisStore
from nodes.sessions.stores.redis.address import ServerList
from tests.support.records import HOUR
from tests.support.several import SeveralServers

BUDGETS = Budgets(connect_timeout=1, read_timeout=1, deadline=5)
KEYS = [f"{number:064x}" for number in range(40)]


def test_a_client_of_a_redis_cluster_leads_to_all_of_its_servers(cluster: SeveralServers) -> None:
    with cluster.client() as client, closing(RedisStore.from_client(client, BUDGETS)) as store:
        for key in KEYS:
            assert store.create(key, {"a": b"\x01"}, "alice", HOUR) is not None
        assert sorted(store.keys_of("alice")) == KEYS
        assert store.count() == len(KEYS)


def test_a_client_of_sentinels_leads_to_the_primary_of_the_moment(ha: SeveralServers) -> None:
    servers = ServerList.parse(ha.url)
    assert servers is not None
    own = {name: value for name, (value,) in parse_qs(urlsplit(ha.url).query).items()}
    account = urlsplit(servers.server_url(servers.addresses[0]))
    make: Any = sentinel.Sentinel
    sentinels = make(
        [tuple(each) for each in servers.addresses],
        sentinel_kwargs={"username": own["sentinel_username"], "password": own["sentinel_password"]},
        username=account.username,
        password=account.password,
    )
    with closing(RedisStore.from_client(sentinels.master_for(servers.name), BUDGETS)) as store:
        assert store.create(KEYS[0], {"a": b"\x01"}, None, HOUR) is not None
        ha.store.failover()
        assert store.create(KEYS[1], {"a": b"\x01"}, None, HOUR) is not None
        assert store.load(KEYS[0]) is not None
