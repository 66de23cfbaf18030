"""Only with local processes: ports, folders, several clusters on one machine."""

import json
import os
import signal
import socket
import stat
from pathlib import Path

import pytest
import requests

from deploy import ClusterError, ClusterSpec, LocalCluster, MemberState, Role, StoreKind
from deploy.local import servers
from deploy.ports import free_ports, is_taken
from tests.support.http_client import HttpClient, node_of
from tests.support.traffic import served_by
from tests.support.waiting import lives, wait_until


def test_two_clusters_live_side_by_side() -> None:
    spec = ClusterSpec(nodes=1, store=StoreKind.REDIS)
    with LocalCluster(spec) as one, LocalCluster(spec) as other:
        assert not {member.address for member in one.members()} & {member.address for member in other.members()}
        assert one.state_dir != other.state_dir
        assert one.users != other.users
        browser, stranger = HttpClient(one.url), HttpClient(other.url)
        browser.log_in(one.users)
        stranger.cookies.update(browser.cookies)
        assert stranger.get("/me").json()["user"] is None
        one.stop()
        assert stranger.get("/ready").status_code == 200


def test_a_port_that_another_process_takes_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as faster:
        faster.bind(("127.0.0.1", 0))
        faster.listen()
        lost = faster.getsockname()[1]
        offers = [[lost]]
        monkeypatch.setattr(servers, "free_ports", lambda count: offers.pop() if offers else free_ports(count))
        with LocalCluster(ClusterSpec(nodes=1)) as cluster:
            assert offers == []
            assert HttpClient(cluster.url).get("/ready").status_code == 200
            assert all(not member.address.endswith(f":{lost}") for member in cluster.members())


def test_a_cluster_whose_fault_proxy_was_killed_can_be_stopped() -> None:
    with LocalCluster(ClusterSpec(nodes=1, store=StoreKind.REDIS, store_proxy=True)) as cluster:
        folder, pids = cluster.state_dir, [member.pid for member in cluster.members() if member.pid]
        os.kill(cluster.store.proxy.pid, signal.SIGKILL)
        wait_until(lambda: not lives(cluster.store.proxy.pid), "the fault proxy has ended")
        with pytest.raises(ClusterError, match="the fault proxy has ended"):
            cluster.store.proxy.down()
    assert not lives(*pids)
    assert not folder.exists()


def test_the_port_of_the_spec_is_the_proxys() -> None:
    port = free_ports(1)[0]
    with LocalCluster(ClusterSpec(nodes=1, port=port)) as cluster:
        assert cluster.url == f"http://127.0.0.1:{port}"
        with pytest.raises(ClusterError, match=rf"port {port} is taken by nginx \(pid \d+\)"):
            LocalCluster(ClusterSpec(nodes=1, port=port)).start()
    assert not is_taken(port)


def test_killing_the_first_process_of_a_node_ends_its_workers() -> None:
    with LocalCluster(ClusterSpec(nodes=2)) as cluster:
        cluster.kill("node-1")
        port = int(next(one for one in cluster.members() if one.name == "node-1").address.rpartition(":")[2])
        wait_until(lambda: not is_taken(port), "the workers have ended")
        with pytest.raises(ClusterError, match="node-1 has ended and cannot be paused"):
            cluster.pause("node-1")
        cluster.kill("node-1")
        cluster.resume("node-1")
        assert [one.state for one in cluster.members()][1:] == [MemberState.ENDED, MemberState.RUNNING]


def test_cluster_json_follows_changes_and_a_reused_folder_gets_new_secrets(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with LocalCluster(ClusterSpec(nodes=1), state_dir=state) as cluster:
        cluster.scale(2)
        cluster.drain("node-2")
        described = json.loads((state / "cluster.json").read_text())
        expected = [(member.name, member.address, member.pid, str(member.state)) for member in cluster.members()]
        assert [
            tuple(one[key] for key in ("name", "address", "pid", "state")) for one in described["processes"]
        ] == expected
        assert all(Path(one["log"]).exists() for one in described["processes"])
        assert cluster.members()[-1].state is MemberState.DRAINED
        assert stat.S_IMODE(state.stat().st_mode) == 0o700
        for private in (state / "cluster.json", *(state / "secrets").iterdir()):
            assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert not (state / "cluster.json").exists()
    assert not (state / "secrets").exists()
    with LocalCluster(ClusterSpec(nodes=1), state_dir=state) as cluster:
        assert cluster.users["alice"] != described["users"]["alice"]


def test_nodes_that_do_not_start_are_removed_again() -> None:
    with LocalCluster(ClusterSpec(nodes=1)) as cluster:
        cluster.configure({"SESSION_IDLE_TIMEOUT": "never"})
        with pytest.raises(ClusterError, match=r"node-\d ended as it started: .*SESSION_IDLE_TIMEOUT"):
            cluster.scale(3)
        assert cluster.node_count == 1
        cluster.configure({})
        cluster.scale(2)
        assert served_by(cluster.url) == {"node-1", "node-2"}


@pytest.mark.parametrize("store", [StoreKind.FILE, StoreKind.SQL, StoreKind.EXPRESS])
def test_with_every_shared_store_all_nodes_know_a_session(store: StoreKind) -> None:
    with LocalCluster(ClusterSpec(nodes=2, store=store)) as cluster:
        assert {member.role for member in cluster.members()} == (
            {Role.PROXY, Role.NODE, Role.STORE} if store.needs_redis else {Role.PROXY, Role.NODE}
        )
        visitor = HttpClient(cluster.url)
        visitor.log_in(cluster.users)
        assert cluster.spec.session_cookie in visitor.cookies
        served = set()
        for number in range(1, 7):
            answer = visitor.ask("POST", "/visits", {})
            served.add(node_of(answer))
            assert answer.json() == {"visits": number}
        assert served == {"node-1", "node-2"}
        thief = HttpClient(cluster.url)
        thief.cookies.update(visitor.cookies)
        visitor.ask("POST", "/logout", {}, status=204)
        assert [thief.user for _ in range(4)] == [None] * 4


def test_over_tls_the_cookie_has_the_host_prefix_and_every_node_knows_it() -> None:
    with LocalCluster(ClusterSpec(nodes=2, store=StoreKind.REDIS, tls=True)) as cluster:
        assert cluster.url.startswith("https://")
        visitor = HttpClient(cluster.url, authority=cluster.authority)
        login = visitor.log_in(cluster.users)
        assert {"__Host-session", "__Host-device"} <= set(visitor.cookies.keys())
        for line in login.raw.headers.getlist("Set-Cookie"):
            assert {"Secure", "Path=/"} <= set(line.split("; ")[1:])
            assert "Domain" not in line
        served = {node_of(visitor.ask("GET", "/account")) for _ in range(8)}
        assert served == {"node-1", "node-2"}
        cluster.restart("proxy")
        visitor.ask("GET", "/account")
        with pytest.raises(requests.exceptions.SSLError):
            HttpClient(cluster.url).get("/")
