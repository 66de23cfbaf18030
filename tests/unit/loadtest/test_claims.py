"""What supports a scene's claim, what contradicts it, and what is too little to say."""

import msgspec
import pytest

from loadtest import Figures
from loadtest.demo.claims import (
    HOLDS,
    Claim,
    NoFailedRequest,
    NothingLost,
    OnlyWritesInFlightFailed,
    Ruling,
    ServedBy,
    ShareOfRequests,
    ShareOfUsers,
    Verdict,
    worst,
)

CLEAN = Figures(
    phase="steady", seconds=8, users=30, requests=500, as_logged_in=400, nodes={"node-1": 250, "node-2": 250}
)
HALF, UP_TO_HALF, TWO_THIRDS, THIRD = (
    ShareOfRequests(1 / 2, "about half"),
    ShareOfRequests(1 / 2, "up to half", least=0.08),
    ShareOfRequests(2 / 3, "about two thirds"),
    ShareOfUsers(1 / 3, "about a third"),
)


def verdict(claim: Claim, **changes: object) -> Verdict:
    return claim.check(msgspec.structs.replace(CLEAN, **changes)).verdict


def test_clean_figures_hold_where_nothing_is_to_be_lost() -> None:
    assert (
        NothingLost().check(CLEAN) == NoFailedRequest().check(CLEAN) == OnlyWritesInFlightFailed().check(CLEAN) == HOLDS
    )


@pytest.mark.parametrize("loss", ["logged_out", "visits_lost", "cart_lost", "revived", "crossed"])
def test_a_single_loss_of_any_kind_contradicts_that_nothing_is_lost(loss: str) -> None:
    assert verdict(NothingLost(), **{loss: 1}) is Verdict.BROKEN


def test_a_loss_is_a_fact_even_in_little_data() -> None:
    assert verdict(NothingLost(), users=1, as_logged_in=3, logged_out=1) is Verdict.BROKEN


@pytest.mark.parametrize("claim", [NothingLost(), HALF, TWO_THIRDS, THIRD])
@pytest.mark.parametrize("little", [{"users": 5}, {"as_logged_in": 50}, {"users": 0, "as_logged_in": 0}])
def test_little_data_is_no_pass(claim: Claim, little: dict[str, int]) -> None:
    assert verdict(claim, **little) is Verdict.NOT_ENOUGH_DATA


def test_one_failed_request_contradicts_that_none_failed() -> None:
    ruling = NoFailedRequest().check(msgspec.structs.replace(CLEAN, failed=1, failures={"GET /me: status 502": 1}))
    assert ruling == Ruling(Verdict.BROKEN, "failed: 1 x GET /me: status 502")


def test_when_a_node_dies_a_post_in_flight_may_fail_and_a_get_may_not() -> None:
    claim = OnlyWritesInFlightFailed()
    assert verdict(claim, failed=1, failures={"POST /visits: status 502": 1}) is Verdict.HOLDS
    assert verdict(claim, failed=1, failed_gets=1, failures={"GET /me: status 502": 1}) is Verdict.BROKEN
    assert verdict(claim, failed=9, failures={"POST /visits: status 502": 9}) is Verdict.BROKEN


@pytest.mark.parametrize(
    ("claim", "percent", "expected"),
    [
        (UP_TO_HALF, 50, Verdict.HOLDS),
        (UP_TO_HALF, 19, Verdict.HOLDS),
        (UP_TO_HALF, 67, Verdict.BROKEN),
        (UP_TO_HALF, 7, Verdict.BROKEN),
        (HALF, 50, Verdict.HOLDS),
        (HALF, 44, Verdict.HOLDS),
        (HALF, 67, Verdict.BROKEN),
        (HALF, 33, Verdict.BROKEN),
        (HALF, 0, Verdict.BROKEN),
        (TWO_THIRDS, 67, Verdict.HOLDS),
        (TWO_THIRDS, 50, Verdict.BROKEN),
        (TWO_THIRDS, 100, Verdict.BROKEN),
        (TWO_THIRDS, 0, Verdict.BROKEN),
    ],
)
@pytest.mark.parametrize("requests", [200, 2000])
def test_about_a_share_of_the_requests(claim: Claim, percent: int, expected: Verdict, requests: int) -> None:
    assert verdict(claim, as_logged_in=requests, logged_out=requests * percent // 100) is expected


def test_a_half_and_its_neighbours_cannot_be_taken_for_one_another_with_the_least_data_that_is_enough() -> None:
    for share in (1 / 3, 2 / 3):
        assert verdict(HALF, as_logged_in=HALF.min_requests, logged_out=round(HALF.min_requests * share)) is (
            Verdict.BROKEN
        )


@pytest.mark.parametrize(
    ("out", "expected"),
    [
        (10, Verdict.HOLDS),
        (6, Verdict.HOLDS),
        (0, Verdict.BROKEN),
        (20, Verdict.BROKEN),
        (30, Verdict.BROKEN),
    ],
)
def test_about_a_third_of_the_users(out: int, expected: Verdict) -> None:
    assert verdict(THIRD, users=30, users_logged_out=out) is expected


def test_nobody_logged_out_contradicts_a_third_with_the_least_data_that_is_enough() -> None:
    assert verdict(THIRD, users=THIRD.min_users, users_logged_out=0) is Verdict.BROKEN


def test_a_node_that_never_answers_is_missed() -> None:
    assert ServedBy(2).check(CLEAN) == HOLDS
    assert verdict(ServedBy(3)) is Verdict.BROKEN


def test_the_worst_ruling_decides_and_says_why() -> None:
    little, wrong = Ruling(Verdict.NOT_ENOUGH_DATA, "3 users"), Ruling(Verdict.BROKEN, "1 lost")
    assert worst([]) == worst([HOLDS, HOLDS]) == HOLDS
    assert worst([HOLDS, little]) == little
    assert worst([wrong, little, HOLDS]) == wrong
    assert worst([wrong, Ruling(Verdict.BROKEN, "2 failed")]).reason == "1 lost; 2 failed"
