"""A Redis of several servers in compose.yaml: a server that is killed is replaced, and users notice only a pause."""

import subprocess

from deploy import StoreKind
from deploy.compose.services import SENTINELS, SHARDS, STORES
from loadtest.console.typed import type_instead
from tests.docker.compose.project import Compose
from tests.support.engine_names import Engine
from tests.support.http_client import HttpClient
from tests.support.waiting import wait_until

BROWSERS = 8
"""With this many sessions, each of a Redis Cluster's three primaries almost always has one."""


def logged_in(compose: Compose, number: int) -> list[HttpClient]:
    passwords = compose.passwords()
    browsers = [HttpClient(compose.url) for _ in range(number)]
    for browser in browsers:
        browser.log_in(passwords)
        assert browser.post("/visits", json={}).json() == {"visits": 1}
    return browsers


def ask(compose: Compose, service: str, *words: str) -> list[str]:
    folder, port = ("sentinels", 26379) if service in SENTINELS else ("servers", 6379)
    script = (
        f'REDISCLI_AUTH="$(cat /cluster/{folder}/operator-password)" redis-cli --raw --user operator -p {port} "$@"'
    )
    return compose("--profile", "*", "exec", "-T", service, "sh", "-c", script, "-", *words).splitlines()


def primary(compose: Compose) -> str:
    address = ask(compose, "sentinel-2", "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "sessions")[0]
    return next(name for name, last in STORES.items() if address == f"{compose.subnet}.{last}")


def follows(compose: Compose, service: str) -> bool:
    try:
        answer = ask(compose, service, "INFO", "replication")
    except AssertionError:  # it does not listen yet
        return False
    return {"role:slave", "master_link_status:up"} <= set(answer)


def test_no_user_is_logged_out_when_the_primary_is_killed(compose: Compose) -> None:
    settings = {"REDIS_MODE": "sentinel", "STORE_OUTAGE": "wait", "STORE_DURABILITY": "every_write"}
    compose.serve(COMPOSE_PROFILES="ha", **settings, STORE_REPLICAS="1", DOWN_AFTER="4")
    (browser,) = logged_in(compose, 1)
    killed = primary(compose)
    assert killed == "store-1"
    compose("--profile", "ha", "kill", killed)
    # Held for longer than two nodes, one after the other, may otherwise be silent.
    answer = browser.get("/me")
    assert (answer.status_code, answer.json()["user"], answer.json()["visits"]) == (200, "alice", 1)
    assert browser.post("/visits", json={}).json() == {"visits": 2}
    wait_until(lambda: primary(compose) != killed, "the Sentinels agree")
    successor = primary(compose)
    compose("--profile", "ha", "start", killed)
    wait_until(lambda: follows(compose, killed), "the old primary comes back as a replica")
    # What a Sentinel has learned it keeps.
    compose("--profile", "ha", "restart", "--timeout", "2", *SENTINELS)
    assert primary(compose) == successor
    assert browser.post("/visits", json={}).json() == {"visits": 3}


def test_the_line_that_the_watching_console_shows_promotes_a_replica(compose: Compose) -> None:
    watched = Engine(1, 2).watch(StoreKind.REDIS_HA)
    watched.project, before = compose.name, primary(compose)
    line = type_instead(watched, "failover", "")

    def is_accepted() -> bool:  # the Sentinels refuse until they know that a replica follows
        done = subprocess.run(["sh", "-c", line], cwd=compose.checkout, capture_output=True, text=True, timeout=60)
        return done.stdout.strip() == "OK"

    wait_until(is_accepted, "a Sentinel accepts the line")
    wait_until(lambda: primary(compose) != before, "a replica is the primary")
    wait_until(lambda: follows(compose, before), "the old primary follows it")


def test_every_server_is_unprivileged_and_has_only_the_secrets_it_needs(compose: Compose) -> None:
    compose.assert_unprivileged()
    for one in compose.containers().values():
        assert not {"6379", "operator"} & set(one["Config"]["Cmd"] or ())
    for service, folder in (("store-1", "servers"), ("sentinel-1", "sentinels")):
        assert {path.partition("/")[0] for path in compose.files(service)} == {folder}


def test_no_user_is_logged_out_when_a_primary_of_a_redis_cluster_is_killed(compose: Compose) -> None:
    compose("--profile", "ha", "rm", "--stop", "--force", *STORES, *SENTINELS)
    compose.serve(COMPOSE_PROFILES="cluster", REDIS_MODE="cluster", STORE_OUTAGE="wait")
    browsers = logged_in(compose, BROWSERS)
    killed = next(iter(SHARDS))
    compose("--profile", "cluster", "kill", killed)
    assert [browser.user for browser in browsers] == ["alice"] * BROWSERS
    assert [browser.post("/visits", json={}).json() for browser in browsers] == [{"visits": 2}] * BROWSERS
    compose("--profile", "cluster", "start", killed)
    wait_until(lambda: follows(compose, killed), "the old primary comes back as a replica")


def test_the_network_has_room_for_fixed_addresses(compose: Compose) -> None:
    containers = compose.network("store")["Containers"].values()
    taken = {one["IPv4Address"].partition("/")[0] for one in containers}
    fixed = {f"{compose.subnet}.{last}" for last in (STORES | SENTINELS | SHARDS).values()}
    others = taken - fixed
    assert others
    assert all(int(address.rpartition(".")[2]) >= 128 for address in others)
