"""Bodies that are too large for a node, sent to a real one."""

import socket
from collections.abc import Callable

import requests

from tests.support.node import RunningNode


def test_an_item_name_of_ten_megabytes_is_too_large(run_node: Callable[..., RunningNode]) -> None:
    node = run_node()
    browser = node.log_in()
    answer = browser.post(f"{node.url}/cart", json={"item": "x" * 10_000_000, "quantity": 1}, timeout=30)
    assert answer.status_code == 413
    assert "64 KiB" in answer.json()["error"]
    assert browser.get(f"{node.url}/me", timeout=10).json()["cart"] == {}


def test_a_body_that_does_not_say_its_size_is_cut_off(run_node: Callable[..., RunningNode]) -> None:
    node = run_node()

    def status(*chunks: bytes) -> int:
        headers = {"Content-Type": "application/json"}
        return requests.post(f"{node.url}/cart", data=iter(chunks), headers=headers, timeout=30).status_code

    assert status(b'{"item": "apple",', b'"quantity": 1}') == 200
    assert status(b'{"item": "apple", "quantity": 1}', *[b" " * 65536] * 20) == 413


def test_a_connection_that_ends_in_the_middle_of_a_body_is_no_error(run_node: Callable[..., RunningNode]) -> None:
    node = run_node()
    with socket.create_connection(("127.0.0.1", node.port), timeout=10) as connection:
        connection.sendall(
            b"POST /cart HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
        )
    assert requests.get(f"{node.url}/live", timeout=10).status_code == 200
    assert not [line for line in node.lines() if line["level"] == "error"]
