"""Reloads: new workers take over while clients are served, and a bad file changes nothing."""

import http.client
import subprocess
import threading
from dataclasses import dataclass, field, replace

import pytest

from proxy import Balance, NginxError, Server, ServerState
from tests.integration.proxy.conftest import StartProxy
from tests.support.backend import Backend
from tests.support.proxy import RunningProxy
from tests.support.waiting import wait_until


@dataclass
class Client:
    """Sends one POST after the other until it is told to stop."""

    proxy: RunningProxy
    keep_alive: bool
    stop: threading.Event
    statuses: list[int] = field(default_factory=list)
    errors: list[OSError | http.client.HTTPException] = field(default_factory=list)

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.proxy.port, timeout=30)
        while not self.stop.is_set():
            try:
                connection.request("POST", "/load", b"x")
                answer = connection.getresponse()
                answer.read()
                self.statuses.append(answer.status)
            except (OSError, http.client.HTTPException) as error:
                self.errors.append(error)
                connection.close()
            if not self.keep_alive:
                connection.close()
        connection.close()


@pytest.mark.parametrize("keep_alive", [True, False])
def test_reloads_under_load_fail_no_request(
    start_proxy: StartProxy, servers: tuple[Server, ...], keep_alive: bool
) -> None:
    proxy = start_proxy()
    stop = threading.Event()
    clients = [Client(proxy, keep_alive, stop) for _ in range(4)]
    threads = [threading.Thread(target=client.run) for client in clients]
    for thread in threads:
        thread.start()
    try:
        for state in (ServerState.DRAIN, ServerState.UP, ServerState.DOWN, ServerState.UP, ServerState.DRAIN):
            answered = sum(len(client.statuses) for client in clients)
            proxy.reload((replace(servers[0], state=state), *servers[1:]))
            wait_until(
                lambda so_far=answered: sum(len(client.statuses) for client in clients) > so_far + 20,  # type: ignore[misc]
                "requests are answered after the reload",
            )
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert [error for client in clients for error in client.errors] == []
    assert {status for client in clients for status in client.statuses} == {200}


def test_after_a_reload_only_the_new_configuration_serves(start_proxy: StartProxy, servers: tuple[Server, ...]) -> None:
    proxy = start_proxy()
    for server in (*servers, *servers):
        proxy.reload((server,))
        assert {proxy.get().node for _ in range(10)} == {server.name}


def test_the_balancing_changes_by_reload(start_proxy: StartProxy) -> None:
    proxy = start_proxy()
    assert "Set-Cookie" not in proxy.get().headers
    proxy.reload(balance=Balance.STICKY)
    assert proxy.get().headers["Set-Cookie"].startswith("node=")


def test_an_old_worker_is_reported_until_its_last_request_is_answered(
    start_proxy: StartProxy, nodes: tuple[Backend, ...]
) -> None:
    proxy = start_proxy(worker_processes=1)
    waiting = proxy.open_request("/wait")
    wait_until(lambda: any(node.hits("/wait") for node in nodes), "the request has reached a node")
    old = proxy.reload()
    assert len(old) == 1
    assert proxy.nginx.finishing(proxy.conf) == old
    for node in nodes:
        node.release.set()
    assert waiting.getresponse().status == 200
    waiting.close()
    wait_until(lambda: proxy.nginx.finishing(proxy.conf) == (), "the old worker is gone")


def test_an_old_worker_is_cut_off_after_the_shutdown_timeout(
    start_proxy: StartProxy, nodes: tuple[Backend, ...]
) -> None:
    proxy = start_proxy(worker_shutdown_timeout=0.5)
    waiting = proxy.open_request("/wait")
    wait_until(lambda: any(node.hits("/wait") for node in nodes), "the request has reached a node")
    assert proxy.reload()
    wait_until(lambda: proxy.nginx.finishing(proxy.conf) == (), "the old workers are gone")
    with pytest.raises((OSError, http.client.HTTPException)):
        waiting.getresponse()
    waiting.close()


def test_a_configuration_that_nginx_refuses_replaces_nothing(start_proxy: StartProxy) -> None:
    proxy = start_proxy()
    good = proxy.conf.read_text()
    with pytest.raises(NginxError, match=r'^nginx refuses .*: unknown directive "nonsense"[^\n]*$'):
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


def test_a_reload_that_the_master_cannot_follow_is_an_error_in_time(
    start_proxy: StartProxy, nodes: tuple[Backend, ...]
) -> None:
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
