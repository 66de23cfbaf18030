"""A node begins no request that its proxy has given up."""

from __future__ import annotations

import socket
from collections.abc import Callable

from tests.support.http_client import HttpClient
from tests.support.node import RunningNode
from tests.support.waiting import wait_until

RunNode = Callable[..., RunningNode]


def send_visit(node: RunningNode, browser: HttpClient, then: Callable[[socket.socket], object]) -> bytes:
    """Send POST /visits to a worker that is paused, do `then`, and resume it. Return the answer."""
    (worker,) = node.workers()
    worker.suspend()
    head = f"POST /visits HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: session={browser.cookies['session']}\r\n"
    with socket.create_connection(("127.0.0.1", node.port), timeout=10) as connection:
        connection.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}".encode())
        then(connection)
        worker.resume()
        return connection.recv(65536) if connection.fileno() >= 0 else b""


def test_a_request_that_was_given_up_is_not_begun(run_node: RunNode) -> None:
    node = run_node(TRUSTED_PROXIES="1")
    browser = node.log_in()
    send_visit(node, browser, lambda connection: connection.close())
    wait_until(lambda: [line for line in node.lines() if line.get("status") == 499], "the request to be refused")
    assert browser.get("/me").json()["visits"] == 0


def test_a_client_that_closes_its_side_is_answered_without_a_proxy(run_node: RunNode) -> None:
    node = run_node(TRUSTED_PROXIES="0")
    browser = node.log_in()
    answer = send_visit(node, browser, lambda connection: connection.shutdown(socket.SHUT_WR))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert browser.get("/me").json()["visits"] == 1
