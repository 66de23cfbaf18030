"""Which anonymous sessions are admitted: by address, and by the store's memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import redis

from nodes.sessions import Lifetime, MemoryStore, StoreNearlyFull, StoreUnavailable, TooManyNewSessions
from nodes.sessions.admission import Admission
from nodes.sessions.stores.redis.connection import Command
from nodes.sessions.stores.redis.memory_usage import MemoryGauge


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class MeasuredSpace(MemoryStore):
    """A store that uses the share that a test sets; None: it can't be reached."""

    used: float | None = 0.0
    measured = 0

    def used_share(self) -> float:
        self.measured += 1
        if self.used is None:
            raise StoreUnavailable("down")
        return self.used


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def space() -> MeasuredSpace:
    return MeasuredSpace()


def admitted(admission: Admission, address: str, most: int = 1000) -> int:
    """Return how many sessions in succession a client at this address gets."""
    for number in range(most):
        try:
            admission.check_new(address)
        except TooManyNewSessions:
            return number
    return most


def test_an_address_gets_five_seconds_worth_at_once_and_then_its_rate(clock: Clock) -> None:
    admission = Admission(MemoryStore(), rate=4, share=1, clock=clock)
    assert admitted(admission, "192.0.2.1") == 20
    clock.now += 0.25
    assert admitted(admission, "192.0.2.1") == 1
    clock.now += 2
    assert admitted(admission, "192.0.2.1") == 8
    clock.now += 1000
    assert admitted(admission, "192.0.2.1") == 20


def test_refused_attempts_make_nobody_wait_longer(clock: Clock) -> None:
    admission = Admission(MemoryStore(), rate=4, share=1, clock=clock)
    for _ in range(50):
        admitted(admission, "192.0.2.1")
    clock.now += 0.25
    assert admitted(admission, "192.0.2.1") == 1


def test_a_rate_below_one_in_five_seconds_admits_one(clock: Clock) -> None:
    admission = Admission(MemoryStore(), rate=0.1, share=1, clock=clock)
    assert admitted(admission, "192.0.2.1") == 1
    clock.now += 10
    assert admitted(admission, "192.0.2.1") == 1


@pytest.mark.parametrize(
    ("other", "is_limited"),
    [
        ("192.0.2.2", False),
        ("2001:db8:0:2::1", False),
        ("2001:db8:0:1:ffff::1", True),  # the network of one client
        ("::ffff:192.0.2.1", True),  # the IPv4 address
        ("::ffff:192.0.2.2", False),
        ("", False),  # unknown, as over a Unix socket
        ("unix:", False),
    ],
)
def test_other_clients_are_not_limited(clock: Clock, other: str, is_limited: bool) -> None:
    admission = Admission(MemoryStore(), rate=1, share=1, clock=clock)
    for address in ("192.0.2.1", "2001:db8:0:1::1"):
        admitted(admission, address)
    assert (admitted(admission, other, most=1) == 0) is is_limited


def test_the_memory_for_addresses_is_bounded(clock: Clock) -> None:
    admission = Admission(MemoryStore(), rate=0.001, share=1, clock=clock)
    for number in range(20_000):
        admission.check_new(f"10.0.{number // 256}.{number % 256}")
    assert len(admission._busy_until) == 10_000
    assert admitted(admission, "10.0.78.31") == 0  # the last one is remembered


def test_none_is_started_beyond_the_share_and_none_changed_halfway_to_full(clock: Clock, space: MeasuredSpace) -> None:
    admission = Admission(space, rate=None, share=0.8, clock=clock)
    for used, is_open, is_crowded in (
        (0.8, True, False),
        (0.81, False, False),
        (0.91, False, True),
        (0.5, True, False),
    ):
        space.used = used
        clock.now += 1
        assert admission.is_crowded() is is_crowded
        if is_open:
            admission.check_new("192.0.2.1")
        else:
            with pytest.raises(StoreNearlyFull):
                admission.check_new("192.0.2.1")


def test_the_store_is_measured_twice_a_second_at_most(clock: Clock, space: MeasuredSpace) -> None:
    admission = Admission(space, rate=None, share=0.8, clock=clock)
    for _ in range(100):
        admission.check_new("192.0.2.1")
        admission.is_crowded()
    assert space.measured == 1
    clock.now += 0.5
    admission.check_new("192.0.2.1")
    assert space.measured == 2


def test_the_last_measurement_counts_while_the_store_is_down(clock: Clock, space: MeasuredSpace) -> None:
    admission = Admission(space, rate=None, share=0.8, clock=clock)
    space.used = 0.9
    with pytest.raises(StoreNearlyFull):
        admission.check_new("192.0.2.1")
    space.used = None
    clock.now += 1
    with pytest.raises(StoreNearlyFull):
        admission.check_new("192.0.2.1")


def test_a_share_of_one_measures_nothing(clock: Clock, space: MeasuredSpace) -> None:
    Admission(space, rate=None, share=1, clock=clock).check_new("192.0.2.1")
    assert space.measured == 0


def test_expired_sessions_take_no_space_in_the_memory_store() -> None:
    clock = Clock()
    store = MemoryStore(max_sessions=4, clock=clock)
    for number in range(3):
        store.create(f"{number:064x}", {}, None, Lifetime(10, 10))
    assert store.used_share() == 0.75
    clock.now += 10
    assert store.used_share() == 0


class Servers:
    """The primaries of a cluster, each with its reply to INFO."""

    can_fail_over = True

    def __init__(self, *replies: Any) -> None:
        self.replies = replies

    def execute(self, commands: Sequence[Command], idempotent: bool = False) -> list[Any]:
        assert list(commands) == [("INFO", "memory")]
        assert not idempotent
        return [*self.replies]

    def partitions(self) -> Sequence[Servers]:
        return [Servers(reply) for reply in self.replies]

    def close_idle(self) -> None:
        pass

    def close(self) -> None:
        pass


def info(used: int, most: int, uncounted: int = 0) -> bytes:
    lines = (
        "# Memory",
        f"used_memory:{used}",
        "used_memory_human:1K",
        f"maxmemory:{most}",
        "maxmemory_policy:noeviction",
    )
    return "\r\n".join([*lines, f"mem_not_counted_for_evict:{uncounted}", ""]).encode()


@pytest.mark.parametrize(
    ("servers", "expected"),
    [
        (Servers(info(50, 100)), 0.5),
        (Servers(info(50, 100, uncounted=20)), 0.3),
        (Servers(info(10, 100), info(90, 100), info(20, 100)), 0.9),  # the fullest of a cluster
        (Servers(info(50, 0)), None),
        (Servers(b"nonsense"), None),
        (Servers(redis.exceptions.NoPermissionError("no permission to run 'info'")), None),
    ],
)
def test_the_used_share_of_redis_is_that_of_its_fullest_server(servers: Servers, expected: float | None) -> None:
    assert MemoryGauge(servers).used_share() == expected


def test_a_user_without_the_right_to_ask_is_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    gauge = MemoryGauge(Servers(redis.exceptions.NoPermissionError("no permission to run 'info'")))
    for _ in range(3):
        gauge.used_share()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
