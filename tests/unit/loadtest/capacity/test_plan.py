"""The arithmetic of a plan, by hand: the utilisation law, a zone lost, what limits first."""

import pytest

from loadtest.capacity.figures import Figure, Part
from loadtest.capacity.plan import BUSY
from tests.unit.loadtest.capacity.figures import LOGIN, MACHINE, READ, WRITE, demands, make_plan


def test_the_rates_are_those_of_active_users_and_of_littles_law() -> None:
    rates = make_plan(stay=1_000_000.0).workload.rates
    assert rates == {READ: 112_500, WRITE: 37_500, LOGIN: 100}


def test_busy_cores_are_requests_times_their_cpu() -> None:
    plan = make_plan(stay=1_000_000.0)
    # 112,500 x 400 us + 37,500 x 600 us + 100 x 40 ms
    assert plan.busy_cores(Part.NODE) == pytest.approx(45 + 22.5 + 4)
    assert plan.busy_cores(Part.STORE) == pytest.approx(2.25 + 2.25 + 0.02)


@pytest.mark.parametrize(("zones", "nodes"), [(2, 60), (3, 45), (4, 40)])
def test_with_one_zone_lost_the_other_nodes_carry_the_peak(zones: int, nodes: int) -> None:
    plan = make_plan(stay=1_000_000.0, zones=zones)
    assert plan.units(Part.NODE) == nodes  # 71.5 cores / 0.6 / 4 are 29.8 nodes, in all zones but one
    left = plan.cores(Part.NODE) * (zones - 1) / zones
    assert plan.busy_cores(Part.NODE) / left <= BUSY
    one_less = left - plan.workload.node_cores * (zones - 1)
    assert plan.busy_cores(Part.NODE) / one_less > BUSY


def test_a_small_load_has_a_node_and_a_proxy_in_each_zone() -> None:
    plan = make_plan(sessions=1000, active=10)
    assert (plan.units(Part.NODE), plan.units(Part.PROXY), plan.needed_primaries) == (3, 3, 1)
    assert plan.primaries == 3  # a Redis Cluster needs a majority of them


def test_the_tokens_of_writes_count_as_memory_for_thirty_seconds() -> None:
    plan = make_plan()
    assert plan.tokens == 37_500 * 30
    assert plan.data == pytest.approx(100e9 + 37_500 * 30 * 200)
    assert make_plan(figures={"token_bytes": 0.0}).data == pytest.approx(100e9)


def test_memory_limits_first_where_requests_are_few() -> None:
    plan = make_plan(rate=0.001)
    assert plan.limits[0].name == "memory"
    # A machine of 16 GB has 12 for sessions of 1,100 resident bytes.
    assert plan.limits[0].sessions == pytest.approx(12e9 / 1100, rel=0.001)
    assert plan.primaries == 10
    assert plan.servers == 30


def test_cpu_limits_first_where_machines_have_much_memory() -> None:
    plan = make_plan(primary_memory=1e12, figures={"resync_seconds": Figure((0.01,))})
    assert plan.limits[0].name == "CPU"
    assert plan.primaries == 8  # 4.5 cores busy / 0.6
    assert plan.busy_cores(Part.STORE) / plan.primaries <= BUSY


def test_the_buffer_for_a_replica_limits_first_where_it_copies_slowly_under_many_writes() -> None:
    plan = make_plan(primary_memory=1e12, writes=1.0, figures={"resync_seconds": Figure((15.0,))})
    assert plan.limits[0].name == "buffer for a replica"
    resync = plan.resync
    assert resync is not None
    written = plan.replicated / plan.primaries * resync
    assert written <= 256e6
    fewer = plan.primaries - 1  # copies longer, with more writes for each
    assert written * (plan.primaries / fewer) ** 2 > 256e6


def test_a_slow_copy_may_buffer_more_than_the_soft_limit_for_a_minute_only() -> None:
    plan = make_plan(primary_memory=1e12, rate=0.01, writes=0.5, figures={"resync_seconds": Figure((200.0,))})
    assert plan.limits[0].name == "buffer for a replica"
    assert plan.resync is not None
    written = plan.replicated / plan.primaries
    assert written * plan.resync < 256e6  # not the hard limit
    above = plan.resync - 64e6 / written
    assert 0 < above <= 60


def test_one_primary_does_not_carry_what_a_cluster_does() -> None:
    assert not make_plan("redis").carries
    assert make_plan("redis").primaries == 1
    assert make_plan("redis-cluster").carries
    assert make_plan("redis", sessions=1_000_000, active=50_000).carries
    assert not make_plan("redis-cluster", sessions=10**10, active=1, primary_memory=1e9).carries  # over 1000 servers


def test_a_file_is_limited_by_its_writer_or_by_the_cores_of_one_machine() -> None:
    figures = {
        "demands": {part: costs for part, costs in MACHINE.demands.items() if part is not Part.STORE},
        "writer_seconds": Figure((0.001,)),
        "resync_seconds": None,
        "token_bytes": 0.0,
    }
    slow = make_plan("sql", figures=figures, writes=0.5)
    assert slow.limits[0].name == "one writer at a time"
    # 0.6 / 1 ms are 600 writes a second, and half of the requests and all logins are writes.
    writes_of_a_session = 0.05 * 0.03 * 0.5 + 1 / (30 * 86_400)
    assert slow.limits[0].sessions == pytest.approx(600 / writes_of_a_session)
    fast = make_plan("sql", figures={**figures, "writer_seconds": Figure((1e-6,))})
    assert fast.limits[0].name == "the 2 cores of this machine"
    assert fast.data == 100e9


def test_a_median_counts_and_not_a_slow_sample() -> None:
    assert Figure((4.0, 5.0, 90.0)).value == 5
    assert make_plan().resync == pytest.approx(make_plan().data / make_plan().primaries / 1e9 * 5)


def test_passwords_are_part_of_the_nodes_work() -> None:
    calm = make_plan(figures={"demands": {**MACHINE.demands, Part.NODE: demands(400, 600, 0)}}, stay=100_000.0)
    busy = make_plan(stay=100_000.0)
    assert busy.busy_cores(Part.NODE) - calm.busy_cores(Part.NODE) == pytest.approx(1000 * 0.04)


def test_the_network_is_that_of_all_requests() -> None:
    plan = make_plan(stay=1_000_000.0)
    assert plan.client_traffic == pytest.approx(150_000 * 1000 + 100 * 1500)
    assert plan.store_traffic == pytest.approx(112_500 * 500 + 37_500 * 900 + 100 * 3000)
    assert plan.replicated == pytest.approx(37_500 * 500 + 100 * 1500)
