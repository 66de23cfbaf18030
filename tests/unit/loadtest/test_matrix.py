"""A load's profile, and the matrix: its cells, costs and tables, with planted figures."""

import io
import json

import msgspec
import pytest
from rich.console import Console

from deploy import ClusterError, NodeKind, Role, StoreKind
from deploy.cluster import StoreStatistics
from loadtest import matrix
from loadtest.checker import PhaseFigures
from loadtest.load import find_bottleneck
from loadtest.load_profile import LoadProfile, Mix, ProfileError, parse_mix
from loadtest.matrix import Cell, CellResult, Cost, Usage, make_cost
from proxy import Balance

PROFILE = LoadProfile(users=20, spawn_rate=20, wait=(0, 0))


@pytest.mark.parametrize(
    ("text", "mix", "weights"),
    [
        ("everyday", Mix.EVERYDAY, {}),
        ("browsers", Mix.BROWSERS, {}),
        ("tabs", Mix.TABS, {}),
        ("shared-writers", Mix.SHARED_WRITERS, {}),
        ("logout-race", Mix.LOGOUT_RACE, {}),
        ("visitor=3, leaver=1", Mix.EVERYDAY, {"Visitor": 3, "Leaver": 1}),
    ],
)
def test_a_mix_is_a_name_or_weights(text: str, mix: Mix, weights: dict[str, int]) -> None:
    assert parse_mix(text) == (mix, weights)


@pytest.mark.parametrize("text", ["", "visitors=3", "visitor", "visitor=-1", "visitor=x", "visitor=3;leaver=1"])
def test_an_unknown_mix_is_refused_with_the_choices(text: str) -> None:
    choices = "everyday, browsers, tabs, shared-writers, logout-race, or weights such as visitor=6,"
    with pytest.raises(ProfileError, match=f"mix must be {choices}"):
        parse_mix(text)


def test_a_profile_out_of_range_is_refused() -> None:
    with pytest.raises(ProfileError, match="mix must have a weight above 0, not 'visitor=0'"):
        parse_mix("visitor=0")
    with pytest.raises(ProfileError, match="mix must name visitor once, not 'visitor=1,visitor=2'"):
        parse_mix("visitor=1,visitor=2")
    with pytest.raises(ProfileError, match="wait must be two ascending numbers"):
        LoadProfile(users=1, spawn_rate=1, wait=(2, 1))
    with pytest.raises(ProfileError, match="processes must be between 1 and the number of users"):
        LoadProfile(users=2, spawn_rate=1, wait=(0, 1), processes=3)


def test_a_busy_generator_is_named_as_the_bottleneck() -> None:
    assert find_bottleneck(0.9, 1) is None
    assert "its own, not the cluster's. Give it --workers 2" in str(find_bottleneck(0.97, 1))


def test_a_single_node_is_measured_once_whatever_the_policies() -> None:
    chosen = matrix.make_cells(
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
    assert matrix.estimate_seconds(len(chosen), PROFILE, 5) == 10 * (matrix.SECONDS_AROUND + 6)
    with pytest.raises(ClusterError, match="express nodes cannot keep sessions in sql"):
        matrix.make_cells(NodeKind.EXPRESS, [StoreKind.SQL], [Balance.STICKY], [1])
    with pytest.raises(ClusterError, match="nodes must be between 1 and 100, not 0"):
        matrix.make_cells(NodeKind.FLASK, [StoreKind.REDIS], [Balance.STICKY], [0, 1])


def test_a_cost_is_the_usage_between_two_moments_for_each_request() -> None:
    nothing = dict.fromkeys(Role, 0.0)
    before = Usage({**nothing, Role.NODE: 1.0, Role.STORE: 0.5}, StoreStatistics({"hgetall": 10, "hset": 5}, 20))
    after = Usage({**nothing, Role.NODE: 3.0, Role.STORE: 0.6}, StoreStatistics({"hgetall": 60, "hset": 5}, 70))
    of_one = make_cost(before, after, 100)
    assert of_one.cpu["node"] == pytest.approx(20)
    assert of_one.cpu["store"] == pytest.approx(1)
    assert of_one.commands == {"hgetall": 0.5}
    assert (of_one.operations, of_one.reads) == (0.5, 0.5)
    assert make_cost(before, after, 0).operations == 0
    without = make_cost(Usage(nothing, None), Usage(nothing, None), 100)
    assert (without.operations, without.reads) == (None, None)


def measure(store: StoreKind, nodes: int, rate: float, **more: object) -> CellResult:
    load = PhaseFigures(seconds=1.0, operations=round(rate), p50=10, p99=1234, as_logged_in=10, **more)  # type: ignore[arg-type]
    reads = 1.25 if store.needs_redis else None
    commands = {"hgetall": 1.0, "pttl": 1.0} if store.needs_redis else None
    balance = None if nodes == 1 else Balance.ROUND_ROBIN
    cell = Cell(NodeKind.FLASK, store, balance, nodes)
    return CellResult(cell=cell, load=load, cost=Cost(cpu={"node": 1.5}, commands=commands, reads=reads))


MEASURED = [
    measure(StoreKind.REDIS, 1, 200),
    measure(StoreKind.REDIS, 8, 12345, generator_cpu=0.95, failed=12),
    measure(StoreKind.MEMORY, 2, 75, logged_out=5),
    CellResult(cell=Cell(NodeKind.FLASK, StoreKind.SQL, Balance.LEAST_CONN, 4), error="out of luck"),
]


def test_the_matrix_fits_80_columns_compares_with_one_node_and_shows_what_failed() -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(matrix.show_matrix(MEASURED, PROFILE, 5))
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= 80
    rows = {tuple(line.split()[:3]): line.split()[3:] for line in lines if line.split()[1:2]}
    assert rows["redis", "-", "1"] == ["200", "1.00", "1.50", "2.0", "1.2", "10", "1,234", "0%", "0"]
    assert rows["redis", "round_robin", "8"][:2] == ["12,345*", "61.73"]
    assert rows["memory", "round_robin", "2"] == ["75", "-", "1.50", "-", "-", "10", "1,234", "50%", "0"]
    assert rows["sql", "least_conn", "4"] == ["-"] * 9
    text = " ".join(" ".join(lines).split())
    assert "sql, 4 nodes, least_conn: out of luck" in text
    assert "*: The load generator was busy" in text
    assert "20 users without a pause, 5 s for each row" in text


def test_the_matrix_is_written_as_json_and_as_markdown() -> None:
    document = json.loads(msgspec.json.encode(matrix.make_record(MEASURED, PROFILE, 5)))
    assert document["plan"]["users"] == 20
    first, *_, last = document["rows"]
    assert (first["store"], first["balancing"], first["nodes"], first["store_operations"]) == ("redis", None, 1, 2.0)
    assert first["requests_per_second"] == 200
    assert last == {"node": "flask", "store": "sql", "balancing": "least_conn", "nodes": 4, "error": "out of luck"}
    lines = matrix.make_markdown(MEASURED, PROFILE, 5).splitlines()
    assert {line.count("|") for line in lines[: len(MEASURED) + 2]} == {len(matrix.COLUMNS) + 1}
    assert lines[2].startswith("| redis | - | 1 | 200 | 1.00 |")
