"""`session-cluster capacity` on real servers: the sheet, the filled store, and the check of a prediction."""

import json
import math
from pathlib import Path
from statistics import median

import pytest
from click.testing import CliRunner

from loadtest.capacity.figures import RequestKind
from loadtest.capacity.population import Population, owner
from loadtest.capacity.redis_contents import RedisContents
from loadtest.capacity.testbed import Testbed
from nodes.sessions import Budgets, Lifetime, Record, RedisStore
from nodes.sessions.stores.redis import connect
from session_cluster import main
from tests.support.commands import run_command

LOAD = ("--sessions", "1M", "--active", "50k", "--rate", "0.03", "--quick")
MORE = ("--sessions", "100M", "--active", "5M", "--rate", "0.03")


@pytest.mark.alone
def test_a_quick_run_prints_a_sheet_with_plausible_figures(tmp_path: Path) -> None:
    done = run_command("capacity", *LOAD, "--json", str(tmp_path / "sheet.json"))
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    record = json.loads((tmp_path / "sheet.json").read_text())
    demands = record["figures"]["demands"]
    cpu = {part: {kind: median(figure["samples"]) for kind, figure in kinds.items()} for part, kinds in demands.items()}
    for kind in RequestKind:
        assert 20 < cpu["proxy"][kind] < 20_000
        assert 100 < cpu["node"][kind] < 1_000_000
        assert 5 < cpu["store"][kind] < 20_000
    assert cpu["store"]["read"] < cpu["store"]["write"]
    assert cpu["node"]["login"] > 5 * cpu["node"]["write"]  # Argon2id
    assert 0.1 < median(record["figures"]["resync_seconds"]["samples"]) < 500
    values = {line["name"]: line["value"] for line in record["sheet"]}
    assert 500 < values["a session in the store"] < 1200
    assert values["a session in the store"] < values["resident memory for it"] < 4000
    assert 20 < values["token of a write"] < 600  # of a few hundred writes, some of which a busy machine sees expire
    assert values["primaries to replicas"] > 0
    assert record["limits"][0]["sessions"] <= record["limits"][1]["sessions"]
    assert "Limits first" in done.stdout
    assert "Not valid for" in done.stdout
    again = run_command(
        "capacity", "--sessions", "100M", "--active", "5M", "--rate", "0.03", "--from", tmp_path / "sheet.json"
    )
    assert again.returncode == 1  # one primary does not carry them
    assert "Choose --store redis-cluster" in " ".join(again.stdout.split())
    assert "measured here, now" not in again.stdout


def test_copies_of_a_session_are_real_sessions_and_as_large() -> None:
    with Testbed("redis", 300) as bed:
        contents = bed.contents
        assert isinstance(contents, RedisContents)
        contents.end_replicas()
        contents.fill(8_000)
        store = RedisStore.from_url(contents.url)
        population, others = Population("1"), Population("others")
        record = store.load(population.key(4_000))
        assert isinstance(record, Record)
        assert record.owner == owner(4_000)
        assert store.keys_of(owner(4_000)) == [population.key(4_000)]
        store.create(others.key(0), record.fields, owner(8_001), Lifetime(43_200, 86_400))
        servers = connect(contents.url, Budgets())
        names = [f"session:{{{key}}}" for key in (population.key(4_000), others.key(0))]
        copied, created = (servers.execute([("MEMORY", "USAGE", name)])[0] for name in names)
        servers.close()
        store.close()
        assert abs(copied - created) <= 16
        bed.run(RequestKind.READ, 40)  # which verifies each answer
        bed.run(RequestKind.WRITE, 40)
        assert contents.resync(contents.replicas[0]) > 0


@pytest.mark.nightly
@pytest.mark.alone
@pytest.mark.timeout(900)
@pytest.mark.parametrize("store", ["redis", "redis-cluster", "sql"])
def test_a_prediction_holds_at_sizes_it_was_not_fitted_to(store: str, tmp_path: Path) -> None:
    out = tmp_path / "sheet.json"
    done = CliRunner().invoke(main, ["capacity", *LOAD, "--store", store, "--check", "--json", str(out)])
    checks = json.loads(out.read_text())["check"]
    measured = ["proxy", "node", *([] if store == "sql" else ["store"])]
    parts = {f"{what}, {part}" for what in ("CPU", "CPU again") for part in measured}
    assert {(one["what"], one["sessions"]) for one in checks} == {
        (what, sessions) for what in {"memory", *parts} for sessions in {one["sessions"] for one in checks}
    }
    for one in checks:
        if one["what"] == "memory":
            assert one["holds"], one
        else:  # on a machine with other programs; docs/capacity.md has the figures of a quiet one
            assert abs(math.log2(one["predicted"] / one["measured"])) < 1, one
    assert "predictions" in done.output
