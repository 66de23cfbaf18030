"""Schedules of random faults: a function of the seed, within what a cluster can survive."""

import pytest

from deploy import StoreKind
from loadtest.experiment import AFTER, BEFORE
from loadtest.random_faults import STORES, describe, list_hazards, make_schedule, make_spec

SEEDS = range(40)


def whats(store: StoreKind, seed: int, seconds: float = 120.0) -> list[str]:
    faults = [phase.fault.what for phase in make_schedule(store, seed, seconds) if phase.undo]
    return [what.replace(", one by one", "") for what in faults]


@pytest.mark.parametrize("store", STORES)
def test_a_seed_gives_one_schedule(store: StoreKind) -> None:
    assert describe(make_schedule(store, 7, 120)) == describe(make_schedule(store, 7, 120))


@pytest.mark.parametrize("store", STORES)
def test_another_seed_gives_another_schedule(store: StoreKind) -> None:
    assert len({tuple(whats(store, seed)) for seed in SEEDS}) == len(SEEDS)


@pytest.mark.parametrize("store", STORES)
def test_a_longer_run_begins_like_a_shorter_one(store: StoreKind) -> None:
    short = whats(store, 3, 60)
    assert whats(store, 3, 300)[: len(short)] == short


@pytest.mark.parametrize("store", STORES)
def test_one_node_and_one_server_of_the_store_fail_at_a_time(store: StoreKind) -> None:
    for seed in SEEDS:
        for what in whats(store, seed):
            parts = what.split(", ")
            in_store = [part for part in parts if "store" in part or "primary" in part or "sentinel" in part]
            assert len(in_store) <= 1, what
            assert len(parts) - len(in_store) <= 1, what
            assert in_store in ([], parts[-1:]), f"{what}: a node that is started waits for its store"


@pytest.mark.parametrize("store", STORES)
def test_every_kind_of_fault_is_drawn(store: StoreKind) -> None:
    hazards = list_hazards(store)
    faults = [part for seed in SEEDS for what in whats(store, seed) for part in what.split(", ")]
    drawn = {part.rstrip("-0123456789. ms") for part in faults}
    assert len(drawn) >= len(hazards.nodes) + len(set(hazards.store)) - 2  # some differ in their numbers alone


@pytest.mark.parametrize(("seconds", "least", "most"), [(1, 0, 11), (5, 0, 11), (30, 2, 30), (600, 570, 600)])
def test_it_takes_no_longer_than_asked_or_than_one_short_fault(seconds: float, least: float, most: float) -> None:
    schedules = {seed: make_schedule(StoreKind.REDIS_HA, seed, seconds) for seed in SEEDS}
    assert {seed for seed, phases in schedules.items() if not any(phase.undo for phase in phases)} == set()
    lengths = {
        seed: sum(phase.seconds + phase.fault.seconds + 1.5 * phase.undo for phase in phases)
        for seed, phases in schedules.items()
    }
    assert {seed: length for seed, length in lengths.items() if not least <= length <= most} == {}


def test_it_begins_and_ends_in_the_steady_state() -> None:
    phases = make_schedule(StoreKind.SQL, 1, 60)
    assert (phases[0].name, phases[-1].name) == (BEFORE, AFTER)


@pytest.mark.parametrize("users", [25, 31, 32, 100, 1001])
def test_at_most_eight_users_share_an_account(users: int) -> None:
    """All log in at once, and more than LOGIN_ATTEMPTS at one account would be refused."""
    accounts = set(make_spec(StoreKind.REDIS, users).users) - {"prober"}
    assert users <= 8 * len(accounts)
