import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from nodes import settings
from nodes.settings import default_name


@pytest.mark.parametrize(
    ("reverse", "name"),
    [
        ("shop-node-2.shop_default", "node-2"),
        ("shop_node_12.net", "node-12"),
        ("node-3", "node-3"),
        ("shop-redis-1.shop_default", "3f2a9c"),
        ("", "3f2a9c"),
    ],
)
def test_a_replica_is_named_by_its_number_and_others_by_their_host(reverse: str, name: str) -> None:
    assert default_name(host=lambda: "3f2a9c", reverse=lambda: reverse, in_container=lambda: True) == name


def test_outside_containers_nothing_is_resolved() -> None:
    def never() -> str:
        raise AssertionError("resolved")

    assert default_name(host=lambda: "desk", reverse=never, in_container=lambda: False) == "desk"


@pytest.fixture
def engine_dns(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[[bytes], bytes]], None]]:
    """Stands in for the engine's DNS, which only containers can reach: answers one question over real UDP."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    server.settimeout(10)
    monkeypatch.setattr(settings, "_ENGINE_DNS", server.getsockname())
    threads: list[threading.Thread] = []

    def answer(make: Callable[[bytes], bytes]) -> None:
        def serve() -> None:
            question, client = server.recvfrom(512)
            server.sendto(make(question), client)

        threads.append(threading.Thread(target=serve))
        threads[-1].start()

    yield answer
    for thread in threads:
        thread.join()
    server.close()


def pointer_to(name: str) -> Callable[[bytes], bytes]:
    """An answer whose one PTR record holds `name`, and whose own name is a pointer back to the question's."""
    encoded = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
    record = b"\xc0\x0c\x00\x0c\x00\x01\x00\x00\x02\x58" + len(encoded).to_bytes(2, "big") + encoded
    return lambda question: question[:2] + b"\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00" + question[12:] + record


def in_container() -> str:
    return default_name(host=lambda: "3f2a9c", in_container=lambda: True)


Answer = Callable[[Callable[[bytes], bytes]], None]


def test_the_number_of_a_replica_comes_from_the_dns_of_the_engine(engine_dns: Answer) -> None:
    engine_dns(pointer_to("shop-node-7.shop_default"))
    assert in_container() == "node-7"


def no_such_name(question: bytes) -> bytes:
    return question[:2] + b"\x81\x83\x00\x01" + b"\x00" * 6 + question[12:]


@pytest.mark.parametrize("make", [no_such_name, lambda _: b"\xff" * 100], ids=["unknown", "malformed"])
def test_without_a_name_in_the_dns_the_host_name_is_used(engine_dns: Answer, make: Callable[[bytes], bytes]) -> None:
    engine_dns(make)
    assert in_container() == "3f2a9c"


def test_without_an_answer_of_the_dns_the_host_name_is_used(engine_dns: Answer) -> None:
    assert in_container() == "3f2a9c"
