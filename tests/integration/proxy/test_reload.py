"""Reloads: new workers take over while clients are served, and a bad file changes nothing."""

import http.client
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from proxy import Balance, NginxError, ServerState
from tests.integration.proxy.conftest import Nodes, Servers, StartProxy
from tests.support.proxy import RunningProxy
from tests.support.waiting import wait_until


def post_until(stop: threading.Event, proxy: RunningProxy, keep_alive: bool, results: list[object]) -> None:
    """Send one POST after the other; add the status of each, or the error."""
    connection = proxy.connect()
    while not stop.is_set():
        try:
            connection.request("POST", "/load", b"x")
            answer = connection.getresponse()
            answer.read()
            results.append(answer.status)
        except (OSError, http.client.HTTPException) as error:
            results.append(error)
            connection.close()
        if not keep_alive:
            connection.close()
    connection.close()


@pytest.mark.parametrize("keep_alive", [True, False])
def test_reloads_under_load_fail_no_request(start_proxy: StartProxy, servers: Servers, keep_alive: bool) -> None:
    proxy = start_proxy()
    stop, results = threading.Event(), list[object]()
    with ThreadPoolExecutor(4) as pool:
        posts = [pool.submit(post_until, stop, proxy, keep_alive, results) for _ in range(4)]
        try:
            for state in (ServerState.DRAIN, ServerState.UP, ServerState.DOWN, ServerState.UP, ServerState.DRAIN):
                enough = len(results) + 20
                proxy.reload((replace(servers[0], state=state), *servers[1:]))
                wait_until(lambda enough=enough: len(results) > enough, "more answers")  # type: ignore[misc]
        finally:
            stop.set()
    assert [post.result() for post in posts] == [None] * 4
    assert set(results) == {200}


def test_after_a_reload_only_the_new_configuration_serves(start_proxy: StartProxy, servers: Servers) -> None:
    proxy = start_proxy()
    for server in (*servers, *servers):
        proxy.reload((server,))
        assert {proxy.get().node for _ in range(10)} == {server.name}


def test_the_balancing_changes_by_reload(start_proxy: StartProxy) -> None:
    proxy = start_proxy()
    assert "Set-Cookie" not in proxy.get().headers
    proxy.reload(balance=Balance.STICKY)
    assert proxy.get().headers["Set-Cookie"].startswith("node=")


def occupy_worker(proxy: RunningProxy, nodes: Nodes) -> http.client.HTTPConnection:
    """Send a request that is answered when its node is told to."""
    waiting = proxy.open_request("/wait")
    wait_until(lambda: any(node.hits("/wait") for node in nodes), "the request has reached a node")
    return waiting


def test_an_old_worker_is_reported_until_its_last_request_is_answered(start_proxy: StartProxy, nodes: Nodes) -> None:
    proxy = start_proxy(worker_processes=1)
    waiting = occupy_worker(proxy, nodes)
    old = proxy.reload()
    assert len(old) == 1
    assert proxy.nginx.finishing(proxy.conf) == old
    for node in nodes:
        node.release.set()
    assert waiting.getresponse().status == 200
    waiting.close()
    wait_until(lambda: proxy.nginx.finishing(proxy.conf) == (), "the old worker is gone")


def test_an_old_worker_is_cut_off_after_the_shutdown_timeout(start_proxy: StartProxy, nodes: Nodes) -> None:
    proxy = start_proxy(worker_shutdown_timeout=0.5)
    waiting = occupy_worker(proxy, nodes)
    assert proxy.reload()
    wait_until(lambda: proxy.nginx.finishing(proxy.conf) == (), "the old workers are gone")
    with pytest.raises((OSError, http.client.HTTPException)):
        waiting.getresponse()
    waiting.close()


def test_a_configuration_that_nginx_refuses_replaces_nothing(start_proxy: StartProxy) -> None:
    proxy = start_proxy()
    good = proxy.conf.read_text()
    with pytest.raises(NginxError, match=r"^nginx refuses .*/nginx\.conf: unknown .* in .*/nginx\.conf:\d+$"):
        proxy.nginx.install(good.replace("server_tokens", "nonsense"), proxy.conf)
    assert proxy.conf.read_text() == good
    assert [path.name for path in proxy.folder.glob("nginx.conf*")] == ["nginx.conf"]
    assert proxy.get().status == 200


def test_a_bad_file_is_not_reloaded(start_proxy: StartProxy) -> None:
    proxy = start_proxy()
    proxy.conf.write_text(proxy.conf.read_text().replace("server_tokens", "nonsense"))
    with pytest.raises(NginxError, match="unknown directive"):
        proxy.nginx.reload(proxy.conf)
    assert proxy.get().status == 200


def test_a_reload_that_the_master_cannot_follow_is_an_error_in_time(start_proxy: StartProxy, nodes: Nodes) -> None:
    proxy = start_proxy()
    # `nginx -t` does not find out that an address is in use; only the master does.
    proxy.settings = replace(proxy.settings, listen=nodes[0].address)
    with pytest.raises(NginxError, match=r"did not reload within 0\.5 s"):
        proxy.reload(timeout=0.5)


def test_without_a_running_nginx_a_reload_says_so(start_proxy: StartProxy) -> None:
    proxy = start_proxy()
    conf = proxy.conf
    proxy.process.terminate()
    proxy.process.wait(20)
    with pytest.raises(NginxError, match=r"^no nginx runs for [^\n]*$"):
        proxy.nginx.reload(conf)


def test_the_pid_of_another_program_gets_no_signal(start_proxy: StartProxy) -> None:
    proxy = start_proxy()
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as stranger:
        (proxy.folder / "nginx.pid").write_text(str(stranger.pid))
        with pytest.raises(NginxError, match="no nginx runs"):
            proxy.nginx.reload(proxy.conf, timeout=0.5)
        assert stranger.communicate(b"still here")[0] == b"still here"
