"""Who may use the console's HTTP interface, and how: each request that is refused, with its status."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from deploy import ClusterSpec, StoreKind
from loadtest.console.board import Board, EntryKind
from loadtest.console.commands import ClusterStage, ClusterState, Network
from loadtest.console.director import Director
from loadtest.console.messages import message
from loadtest.console.server import Console, create_app
from proxy import Balance
from tests.support.fake_cluster import FakeCluster

HOST = "127.0.0.1:8090"
BASE = {"base_url": f"http://{HOST}"}


@pytest.fixture
def console(tmp_path: Path) -> Console:
    """A console whose director does not run, so that commands wait."""
    cluster = FakeCluster(ClusterSpec(nodes=2, store=StoreKind.REDIS))
    cluster.start()
    director = Director(cluster.spec, None, FakeCluster, Board(), tmp_path, keep=False)
    director.cluster = cluster
    director.state = ClusterState(
        stage=ClusterStage.RUNNING,
        spec=cluster.spec,
        policy=Balance.ROUND_ROBIN,
        network=Network.OK,
        members=cluster.members(),
    )
    return Console(director._board, director, 8090)


@pytest.fixture
def client(console: Console) -> Iterator[FlaskClient]:
    with create_app(console).test_client() as client:
        yield client


@pytest.fixture
def known(client: FlaskClient, console: Console) -> FlaskClient:
    """A browser that has opened the printed address."""
    answer = client.get(console.address.removeprefix(f"http://{HOST}"), **BASE)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/console/")
    return client


def kill(client: FlaskClient, **more: Any) -> Any:
    return client.post("/console/commands", json={"do": "kill", "on": "node-1"}, **{**BASE, **more})


def test_the_printed_address_is_exchanged_for_a_strict_cookie(client: FlaskClient, console: Console) -> None:
    (cookie,) = client.get(f"/console/?token={console.token}", **BASE).headers.getlist("Set-Cookie")
    for attribute in ("console-8090=", "HttpOnly", "SameSite=Strict", "Path=/console"):
        assert attribute in cookie
    assert client.get("/console/", **BASE).status_code == 200


@pytest.mark.parametrize("path", ["/", "/console/", "/console/?token=wrong", "/console/?token="])
def test_without_the_token_the_page_says_how_to_get_one(client: FlaskClient, path: str) -> None:
    answer = client.get(path, **BASE)
    assert answer.status_code == 403
    assert "session-cluster console" in answer.text


@pytest.mark.parametrize("path", ["/console/state", "/console/log", "/console/events", "/console/members/node-1/log"])
def test_without_the_token_nothing_is_told(client: FlaskClient, console: Console, path: str) -> None:
    assert client.get(path, **BASE).status_code == 403
    assert client.get(path, headers={"Authorization": f"Basic {console.token}"}, **BASE).status_code == 403
    assert kill(client).status_code == 403


def test_curl_sends_the_token_in_a_header(client: FlaskClient, console: Console) -> None:
    bearer = {"Authorization": f"Bearer {console.token}"}
    assert client.get("/console/state", headers=bearer, **BASE).status_code == 200
    answer = kill(client, headers=bearer)
    assert (answer.status_code, answer.json) == (202, {"id": 1})
    assert [job.order.on for job in console.director.waiting] == ["node-1"]


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"base_url": "http://evil.example:8090"}, 421),
        ({"base_url": "http://127.0.0.1:9999"}, 421),
        ({"headers": {"Origin": "http://evil.example"}}, 403),
        ({"headers": {"Origin": "http://127.0.0.1:8080"}}, 403),
        ({"headers": {"Origin": "null"}}, 403),
        ({"headers": {"Sec-Fetch-Site": "cross-site"}}, 403),
        ({"headers": {"Sec-Fetch-Site": "same-site"}}, 403),
        ({"headers": {"Origin": f"http://{HOST}", "Sec-Fetch-Site": "same-origin"}}, 202),
    ],
)
def test_other_names_and_other_sites_are_refused(
    known: FlaskClient, console: Console, more: dict[str, Any], status: int
) -> None:
    bearer = {"Authorization": f"Bearer {console.token}"}
    assert kill(known, **{**more, "headers": {**bearer, **more.get("headers", {})}}).status_code == status
    assert len(console.director.waiting) == (status == 202)


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"data": {"do": "kill", "on": "node-1"}}, 415),
        ({"data": '{"do":"kill"}', "content_type": "text/plain"}, 415),
        ({"data": "kill node-1", "content_type": "application/json"}, 400),
        ({"json": {"do": "kill", "on": "node-1", "extra": 1}}, 400),
        ({"json": {"do": "users", "to": 50}}, 400),
        ({"json": {"do": "kill", "on": "node-9"}}, 409),
        ({"json": {"do": "explode"}}, 409),
        ({"json": {"do": "kill", "on": "x" * 5000}}, 413),
    ],
)
def test_a_command_is_json_and_possible(known: FlaskClient, console: Console, given: Any, status: int) -> None:
    answer: Any = known.post("/console/commands", **given, **BASE)
    assert answer.status_code == status
    assert answer.json["error"]
    assert console.director.waiting == ()


def test_an_error_is_said_in_both_languages(known: FlaskClient, console: Console) -> None:
    console.director.cluster = None
    answer: Any = known.get("/console/members/node-1/log", **BASE)
    assert (answer.status_code, answer.json["error"]) == (409, "the cluster does not run")
    assert answer.json["said"] == {"en": "the cluster does not run", "ko": "클러스터가 실행 중이 아님"}


def test_a_refusal_has_its_reason_in_words_and_for_the_page(known: FlaskClient) -> None:
    answer: Any = known.post("/console/commands", json={"do": "failover"}, **BASE)
    assert answer.json["reason"] == {"key": "no_replica", "values": {"store": "redis"}}
    assert answer.json["error"] == "sessions in redis have no replica that could take over"


@pytest.mark.parametrize("path", ["/console/", "/console/static/main.js", "/console/state", "/nowhere"])
def test_every_answer_is_hardened(known: FlaskClient, path: str) -> None:
    headers = known.get(path, **BASE).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert (headers["X-Content-Type-Options"], headers["Referrer-Policy"]) == ("nosniff", "no-referrer")
    assert headers["Cache-Control"] == "no-store"


def test_files_beside_the_static_ones_are_not_served(known: FlaskClient) -> None:
    for path in ("../server.py", "%2e%2e/server.py", "vendor/../../server.py"):
        assert known.get(f"/console/static/{path}", **BASE).status_code == 404


def test_the_log_of_a_member_is_data(known: FlaskClient) -> None:
    assert known.get("/console/members/node-1/log", **BASE).json == {"lines": ["<b>node-1</b> & its log"]}
    assert known.get("/console/members/node-9/log", **BASE).status_code == 404


def test_events_begin_with_what_was_missed(known: FlaskClient, console: Console) -> None:
    for _ in range(3):
        console.board.log(EntryKind.SEEN, message("nothing_to_undo"))
    console.board.publish({"at": 1})
    answer = known.get("/console/events", headers={"Last-Event-ID": f"{console.board.boot}.2"}, **BASE)
    assert answer.content_type.startswith("text/event-stream")
    chunks = iter(answer.response)
    assert next(chunks) == b"retry: 1000\n\n"
    first = bytes(next(chunks)).decode()  # type: ignore[arg-type]
    assert json.loads(first.split("data: ")[1])["id"] == 3
    assert b"event: snapshot" in bytes(next(chunks))  # type: ignore[arg-type]
    answer.close()
    assert console.streams == 0


def test_the_token_is_not_in_the_words_of_the_console(console: Console) -> None:
    assert console.token not in repr(console)
