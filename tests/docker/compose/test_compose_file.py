"""compose.yaml as a person uses it: `docker compose` in the checkout."""

import json
import re
import urllib.request
from typing import Any

import pytest

from tests.docker.compose.project import NODES, Compose
from tests.support.http_client import HttpClient, node_of
from tests.support.traffic import served_by
from tests.support.waiting import wait_until

LONG_RUNNING = ["node-1", "node-2", "proxy-1", "redis-1"]


@pytest.fixture(scope="module", autouse=True)
def started(compose: Compose) -> None:
    compose.up()


def test_the_page_is_served_by_every_node_under_its_own_name(compose: Compose) -> None:
    page = urllib.request.Request(compose.url, headers={"Accept": "text/html"})
    assert b"</html>" in urllib.request.urlopen(page, timeout=10).read()
    assert served_by(compose.url, 8) == NODES


def test_passwords_are_random_and_printed_on_request_alone(compose: Compose) -> None:
    passwords = compose.passwords()
    assert list(passwords) == ["alice", "bob", "carol"]
    assert len(passwords["alice"]) >= 16
    HttpClient(compose.url).log_in(passwords)
    assert passwords["alice"] not in compose("logs")
    assert "setup passwords" in compose("logs", "setup")


def test_containers_are_unprivileged_and_only_the_proxy_can_be_reached(compose: Compose) -> None:
    assert sorted(compose.containers()) == [*LONG_RUNNING, "setup-1"]
    compose.assert_unprivileged()
    internal = {f"{compose.name}_{name}" for name in ("app", "store") if compose.network(name)["Internal"]}
    for name, one in compose.containers().items():
        if name != "proxy-1":
            assert set(one["NetworkSettings"]["Networks"]) <= {*internal, "none"}, name


def test_clients_get_nothing_that_is_for_operators(compose: Compose) -> None:
    browser = HttpClient(compose.url)
    assert [browser.get(path).status_code for path in ("/metrics", "/ready", "/live")] == [404, 404, 200]
    assert "X-Upstream" not in browser.get("/me").headers


def test_secrets_lie_only_where_they_are_needed(compose: Compose) -> None:
    for service, allowed in {
        "proxy": {"proxy/nginx.conf", "proxy/nginx-tls.conf"},
        "node": {
            *(f"node/redis-url.redis.{mode}" for mode in ("standalone", "sentinel", "cluster")),
            "node/redis-url.express.standalone",
            *(f"node/database-url.{which}" for which in ("sql.sqlite", "sql.mysql", "sql.postgres")),
            *("node/session-secrets", "node/users.json"),
        },
        "redis": {"store/password", "store/operator-password", "store/users.acl", "store/redis.conf"},
    }.items():
        assert compose.files(service) == allowed
    for one in compose.containers().values():
        assert not re.search(r"[0-9a-f]{64}", " ".join(one["Config"]["Env"] + (one["Config"]["Cmd"] or [])))


def test_redis_has_no_user_without_a_password(compose: Compose) -> None:
    def ask(*words: str) -> str:
        return compose("exec", "-T", "redis", "redis-cli", *words)

    assert "NOAUTH" in ask("PING")
    assert "WRONGPASS" in ask("AUTH", "default", "")
    password = compose("exec", "-T", "redis", "cat", "/cluster/store/password")
    assert "PONG" in ask("--user", "node", "--pass", password, "--no-auth-warning", "PING")
    for words in (["FLUSHALL"], ["KEYS", "*"], ["CONFIG", "GET", "*"], ["HGETALL", "other"], ["GET", "sess:other"]):
        assert "NOPERM" in ask("--user", "node", "--pass", password, "--no-auth-warning", *words)


def test_redis_has_the_options_of_every_other_server(compose: Compose) -> None:
    options = compose("exec", "-T", "redis", "cat", "/cluster/store/redis.conf").splitlines()
    assert {"appendonly yes", 'save ""', "maxmemory-policy noeviction", "hash-max-listpack-value 1024"} <= set(options)


def test_more_nodes_start_without_a_restart_of_anything_else_and_secrets_stay(compose: Compose) -> None:
    before, passwords = compose.starts(), compose.passwords()
    browser = HttpClient(compose.url)
    browser.log_in(passwords)
    compose.up("--scale", "node=4")
    after = compose.starts()
    assert {name: after[name] for name in LONG_RUNNING} == {name: before[name] for name in LONG_RUNNING}
    for node in ("node-3", "node-4"):
        wait_until(lambda node=node: node_of(browser.get("/me")) == node, f"{node} serves")  # type: ignore[misc]
    assert browser.get("/me").json()["user"] == "alice"
    assert compose.passwords() == passwords


def test_another_balancing_recreates_the_proxy_alone(compose: Compose) -> None:
    before = compose.starts()
    compose.up("--scale", "node=4", BALANCE="sticky")
    after = compose.starts()
    assert {name for name in LONG_RUNNING if after[name] != before[name]} == {"proxy-1"}
    browser = HttpClient(compose.url)
    assert len({node_of(browser.get("/me")) for _ in range(6)}) == 1
    assert "node" in browser.cookies


def test_locust_and_its_workers_find_the_users_and_the_proxy(compose: Compose) -> None:
    compose.up("load", "load-worker", COMPOSE_PROFILES="load")
    place = f"http://127.0.0.1:{compose.load_port}"

    def stats() -> Any:
        return json.loads(urllib.request.urlopen(f"{place}/stats/requests", timeout=10).read())

    wait_until(lambda: [one["state"] for one in stats()["workers"]] == ["ready"] * 2, "both workers are there")
    form = b"user_count=4&spawn_rate=4&host=http%3A%2F%2Fproxy%3A8080"
    urllib.request.urlopen(f"{place}/swarm", data=form, timeout=10).close()

    def total() -> dict[str, Any]:
        return next(row for row in stats()["stats"] if row["name"] == "Aggregated")

    wait_until(lambda: [one["user_count"] for one in stats()["workers"]] == [2, 2], "both workers have their users")
    enough = total()["num_requests"] + 40
    wait_until(lambda: total()["num_requests"] > enough, "requests are made by both")
    assert total()["num_failures"] == 0
    compose("--profile", "load", "stop", "load-worker", "load")
    logs = compose("--profile", "load", "logs", "load", "load-worker")
    # The one that ends last may have all four: Locust's master gives it the users of the other.
    summaries = re.findall(r"load-worker-(\d) .*What [1-4] users saw in [1-9]", logs)
    assert sorted(summaries) == ["1", "2"], logs[-4000:]
    assert len(re.findall("failed requests    0", logs)) == 2
    assert "Traceback" not in logs
