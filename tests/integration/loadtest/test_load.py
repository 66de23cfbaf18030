"""What a load is to be, where it may go, and what is said of it: without a cluster."""

import io
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme
from rich.console import Console

from deploy import ClusterError, ClusterSpec, LocalCluster, NodeKind, Role, StoreKind, StoreStatistics
from deploy.ports import free_ports
from loadtest import matrix
from loadtest.figures import Figures
from loadtest.load import matrix_table
from loadtest.load.cost import Cost, Spent, cost, spent
from loadtest.load.plan import Plan, PlanError, parse_mix
from loadtest.load.table import bottleneck
from loadtest.load.target import Target, TargetError
from loadtest.matrix import Cell, Measured
from loadtest.protocol import Mix
from proxy import Balance
from tests.support.stand_in import ACCOUNTS, StandIn, serving

PLAN = Plan(users=20, spawn_rate=20, seconds=5, wait=(0, 0))


@pytest.mark.parametrize(
    ("text", "mix", "weights"),
    [
        ("everyday", Mix.EVERYDAY, {}),
        ("shared-writers", Mix.SHARED_WRITERS, {}),
        ("logout-race", Mix.LOGOUT_RACE, {}),
        ("visitor=3, leaver=1", Mix.EVERYDAY, {"Visitor": 3, "Leaver": 1}),
    ],
)
def test_a_mix_is_a_name_or_weights(text: str, mix: Mix, weights: dict[str, int]) -> None:
    assert parse_mix(text) == (mix, weights)


@pytest.mark.parametrize("text", ["", "visitors=3", "visitor", "visitor=-1", "visitor=x", "visitor=3;leaver=1"])
def test_a_mix_that_cannot_be_says_what_can(text: str) -> None:
    with pytest.raises(PlanError, match="everyday, shared-writers, logout-race, or weights such as visitor=6,"):
        parse_mix(text)


def test_a_load_that_nobody_makes_is_refused() -> None:
    with pytest.raises(PlanError, match="nobody comes"):
        parse_mix("visitor=0")
    with pytest.raises(PlanError, match="users cannot wait 2 to 1 s"):
        Plan(users=1, spawn_rate=1, seconds=1, wait=(2, 1))
    with pytest.raises(PlanError, match="3 workers for 2 users"):
        Plan(users=2, spawn_rate=1, seconds=1, wait=(0, 1), workers=3)


def target(url: str, **more: object) -> Target:
    return Target(url=url, accounts=ACCOUNTS, cookie="session", described={}, **more)  # type: ignore[arg-type]


@contextmanager
def answering(status: int, body: bytes, context: ssl.SSLContext | None = None) -> Iterator[str]:
    """The address of a server that always answers so."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_target_that_speaks_the_interface_is_taken() -> None:
    with serving(StandIn()) as url:
        target(url).check()


@pytest.mark.parametrize(
    ("status", "body"), [(200, b"<html>"), (200, b'{"name": 1}'), (200, b"[]"), (404, b'{"user": null}'), (503, b"")]
)
def test_a_target_that_speaks_something_else_is_refused(status: int, body: bytes) -> None:
    with answering(status, body) as address, pytest.raises(TargetError, match=f"GET /me answered {status}$"):
        target(f"http://{address}").check()


@pytest.mark.parametrize("url", ["127.0.0.1:80", "ftp://host", "http://", "http://127.0.0.1/shop"])
def test_what_is_no_address_is_said(url: str) -> None:
    with pytest.raises(TargetError, match="is no target: give http:// or https://"):
        target(url).check()


def test_nobody_there_is_said_in_one_line() -> None:
    with pytest.raises(TargetError, match=r"does not answer: .*refused"):
        target(f"http://127.0.0.1:{free_ports(1)[0]}").check()


def test_over_tls_somebody_has_to_vouch_for_the_target_unless_that_is_waived(tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with answering(200, b'{"user": null}', context) as address:
        target(f"https://{address}", authority=tmp_path / "ca.pem").check()
        target(f"https://{address}", insecure=True).check()
        with pytest.raises(TargetError, match=r"signed by nobody who is trusted: .*name its authority with --ca"):
            target(f"https://{address}").check()


def test_a_generator_without_time_to_spare_is_named_as_the_bottleneck() -> None:
    assert bottleneck(Figures(phase="load", generator_cpu=0.9), 1) is None
    warning = bottleneck(Figures(phase="load", generator_cpu=0.97), 1)
    assert warning is not None
    assert warning.startswith("Locust used 97% of a core")
    assert "--workers 2" in warning
    assert "busiest Locust worker" in str(bottleneck(Figures(phase="load", generator_cpu=0.97), 2))


def test_a_lone_node_is_measured_once_whatever_the_policies() -> None:
    chosen = matrix.cells(
        NodeKind.FLASK,
        [StoreKind.MEMORY, StoreKind.REDIS, StoreKind.REDIS],
        [Balance.ROUND_ROBIN, Balance.STICKY],
        [2, 1, 4],
    )
    assert [cell.name for cell in chosen if cell.store is StoreKind.REDIS] == [
        "redis, 1 node",
        "redis, 2 nodes, round_robin",
        "redis, 4 nodes, round_robin",
        "redis, 2 nodes, sticky",
        "redis, 4 nodes, sticky",
    ]
    assert len(chosen) == 10
    assert matrix.seconds(len(chosen), PLAN) == 10 * (matrix.SECONDS_AROUND + 6)
    with pytest.raises(ClusterError, match="express nodes cannot keep sessions in sql"):
        matrix.cells(NodeKind.EXPRESS, [StoreKind.SQL], [Balance.STICKY], [1])


def test_a_cost_is_what_was_spent_between_two_moments_by_the_requests() -> None:
    nothing = dict.fromkeys(Role, 0.0)
    before = Spent({**nothing, Role.NODE: 1.0, Role.STORE: 0.5}, StoreStatistics({"hgetall": 10, "hset": 5}, 20))
    after = Spent({**nothing, Role.NODE: 3.0, Role.STORE: 0.6}, StoreStatistics({"hgetall": 60, "hset": 5}, 70))
    of_one = cost(before, after, 100)
    assert of_one.cpu["node"] == pytest.approx(20)
    assert of_one.cpu["store"] == pytest.approx(1)
    assert of_one.commands == {"hgetall": 0.5}
    assert (of_one.operations, of_one.reads) == (0.5, 0.5)
    assert cost(before, after, 0).operations == 0
    without = cost(Spent(nothing, None), Spent(nothing, None), 100)
    assert (without.operations, without.reads) == (None, None)


def test_what_a_cluster_spends_is_seen_in_its_processes_and_its_store() -> None:
    with serving(StandIn()), LocalCluster(ClusterSpec(nodes=2, store=StoreKind.REDIS)) as cluster:
        before = spent(cluster)
        assert 0 < before.cpu[Role.NODE] < 60
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("no_proxy", "127.0.0.1")
            for _ in range(20):
                target(cluster.url).check()
        of_one = cost(before, spent(cluster), 20)
        assert of_one.operations == 0, "who has no session costs the store nothing"
        assert 0 <= of_one.cpu["node"] < 1000


def measured(store: StoreKind, nodes: int, rate: float, **more: object) -> Measured:
    load = Figures(phase="load", seconds=1.0, requests=round(rate), p50=10, p99=1234, as_logged_in=10, **more)  # type: ignore[arg-type]
    reads = 1.25 if store.needs_redis else None
    commands = {"hgetall": 1.0, "pttl": 1.0} if store.needs_redis else None
    balance = None if nodes == 1 else Balance.ROUND_ROBIN
    cell = Cell(NodeKind.FLASK, store, balance, nodes)
    return Measured(cell=cell, load=load, cost=Cost(cpu={"node": 1.5}, commands=commands, reads=reads))


MEASURED = [
    measured(StoreKind.REDIS, 1, 200),
    measured(StoreKind.REDIS, 8, 12345, generator_cpu=0.95, failed=12),
    measured(StoreKind.MEMORY, 2, 75, logged_out=5),
    Measured(cell=Cell(NodeKind.FLASK, StoreKind.SQL, Balance.LEAST_CONN, 4), error="out of luck"),
]


def test_the_matrix_fits_80_columns_compares_with_one_node_and_shows_what_failed() -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(matrix_table.table(MEASURED, PLAN))
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= 80
    rows = {tuple(line.split()[:3]): line.split()[3:] for line in lines if line.split()[1:2]}
    assert rows["redis", "-", "1"] == ["200", "1.00", "1.50", "2.0", "1.2", "10", "1,234", "0%", "0"]
    assert rows["redis", "round_robin", "8"][:2] == ["12,345*", "61.73"]
    assert rows["memory", "round_robin", "2"] == ["75", "-", "1.50", "-", "-", "10", "1,234", "50%", "0"]
    assert rows["sql", "least_conn", "4"] == ["-"] * 9
    text = " ".join(" ".join(lines).split())
    assert "sql, 4 nodes, least_conn: out of luck" in text
    assert "*: the load generator itself was busy" in text
    assert "20 users without a pause, 5 s for each row" in text


def test_the_matrix_is_there_for_programs_and_for_a_pull_request() -> None:
    document = json.loads(matrix_table.to_json(MEASURED, PLAN))
    assert document["plan"]["users"] == 20
    first, *_, last = document["rows"]
    assert (first["store"], first["balancing"], first["nodes"], first["store_operations"]) == ("redis", None, 1, 2.0)
    assert first["requests_per_second"] == 200
    assert last == {"node": "flask", "store": "sql", "balancing": "least_conn", "nodes": 4, "error": "out of luck"}
    lines = matrix_table.markdown(MEASURED, PLAN).splitlines()
    assert {line.count("|") for line in lines[: len(MEASURED) + 2]} == {len(matrix_table.COLUMNS) + 1}
    assert lines[2].startswith("| redis | - | 1 | 200 | 1.00 |")
