"""A primary's lease ends before another server can have been promoted, whatever the Sentinels say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from redis import ResponseError

from nodes.sessions import StoreUnavailable
from nodes.sessions.stores.redis.address import Address
from nodes.sessions.stores.redis.lease import Lease, NotConfirmed, Opinion, TooFewAnswers, find_lease
from tests.support.waiting import wait_until

PRIMARY, OTHER = Address("10.0.0.1", 6379), Address("10.0.0.2", 6379)
UP = Opinion(PRIMARY, 3, frozenset({b"master"}), silent_for=0.1, down_after=1.0, quorum=2, sentinels=3)
LATE = replace(UP, silent_for=0.4)
DOWN = replace(UP, flags=frozenset({b"master", b"s_down"}), silent_for=1.5, down_for=0.5)
CUT_OFF = replace(DOWN, silent_for=9.0, down_for=8.0)
STATE = {
    b"ip": b"10.0.0.1", b"port": b"6379", b"flags": b"master,o_down,failover_in_progress", b"quorum": b"2",
    b"config-epoch": b"4", b"last-ok-ping-reply": b"1500", b"down-after-milliseconds": b"1000",
    b"num-other-sentinels": b"2",
}  # fmt: skip
VOTED = replace(UP, voted=4)
"""It has voted for a failover in the next epoch, and reaches the primary again."""


def flagged(flag: bytes) -> Opinion:
    return replace(UP, flags=UP.flags | {flag})


@pytest.mark.parametrize("opinions", [[UP, LATE, UP], [LATE, UP], [UP, LATE, CUT_OFF]])
def test_a_lease_ends_when_the_first_sentinel_could_take_the_primary_for_down(opinions: list[Opinion]) -> None:
    assert find_lease(PRIMARY, opinions) == pytest.approx(1.0 - 0.4 - 0.1)


def test_a_sentinel_with_an_earlier_epoch_has_no_say() -> None:
    earlier = replace(UP, epoch=2, primary=OTHER, silent_for=0.9)
    assert find_lease(PRIMARY, [UP, LATE, earlier]) == find_lease(PRIMARY, [UP, LATE])


@pytest.mark.parametrize("opinions", [[UP], [UP, UP, UP, UP], [replace(UP, epoch=4), UP, UP]])
def test_silent_sentinels_do_not_speak_against_the_primary(opinions: list[Opinion]) -> None:
    with pytest.raises(TooFewAnswers):
        find_lease(PRIMARY, [replace(opinion, sentinels=6) for opinion in opinions])


@pytest.mark.parametrize(
    ("opinions", "why"),
    [
        ([UP], "only 1 of 3 Sentinels"),
        ([UP, CUT_OFF], "only 1 of 3 Sentinels"),
        ([UP, CUT_OFF, CUT_OFF], "only 1 of 3 Sentinels"),
        ([UP, UP, DOWN], "may begin a failover with what others said before"),
        ([UP, UP, replace(UP, primary=OTHER)], "another server"),
        ([UP, UP, replace(UP, primary=OTHER, epoch=4)], "another server"),
        ([UP, UP, flagged(b"o_down")], "a failover may have begun"),
        ([UP, UP, flagged(b"failover_in_progress")], "a failover may have begun"),
        # Four of six are a majority, but the other two could begin a failover by themselves.
        ([replace(UP, sentinels=6)] * 4, "only 4 of 6 Sentinels"),
        ([UP, VOTED], "does not answer may have begun a failover"),
        ([VOTED, VOTED, replace(UP, epoch=2)], "does not answer may have begun a failover"),
    ],
)
def test_a_primary_that_may_be_replaced_has_no_lease(opinions: list[Opinion], why: str) -> None:
    with pytest.raises(NotConfirmed, match=why):
        find_lease(PRIMARY, opinions)


def test_a_vote_is_of_the_past_where_all_sentinels_answer_or_its_failover_has_ended() -> None:
    assert find_lease(PRIMARY, [VOTED, VOTED, UP]) == find_lease(PRIMARY, [UP, UP, UP])
    assert find_lease(PRIMARY, [replace(UP, epoch=4, voted=4)] * 2) == find_lease(PRIMARY, [UP, UP])


def test_a_vote_counts_no_more_half_a_minute_after_it_was_first_told() -> None:
    sentinels = Sentinels()
    sentinels.opinions = [UP, VOTED]
    lease = sentinels.lease()
    for _ in range(2):
        with pytest.raises(NotConfirmed, match="may have begun a failover"):
            lease.confirm_write(PRIMARY)
        with pytest.raises(NotConfirmed, match="may have begun a failover"):
            lease.confirm_read(PRIMARY)
        sentinels.now += 29
    sentinels.now += 2
    lease.confirm_write(PRIMARY)
    sentinels.opinions = [UP, replace(VOTED, voted=5)]
    sentinels.now += 2
    with pytest.raises(NotConfirmed, match="may have begun a failover"):
        lease.confirm_write(PRIMARY)


def test_a_sentinel_that_may_not_tell_its_vote_is_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        opinion = Opinion.parse(PRIMARY, [[b"10.0.0.1", b"6379"], STATE, ResponseError("NOPERM no permissions")])
        assert opinion.voted == 0
    assert [record.getMessage() for record in caplog.records] == [
        "Redis: a Sentinel does not tell its vote, so one that is silent may be overlooked: NOPERM no permissions"
    ]
    assert Opinion.parse(PRIMARY, [[b"10.0.0.1", b"6379"], STATE, [0, b"a" * 40, 4]]).voted == 4


def test_a_sentinel_that_has_promoted_a_server_speaks_of_that_one() -> None:
    opinion = Opinion.parse(PRIMARY, [[b"10.0.0.2", b"6379"], STATE])
    assert opinion == replace(UP, primary=OTHER, epoch=4, flags=frozenset(), silent_for=0.0)
    with pytest.raises(NotConfirmed, match="another server"):
        find_lease(PRIMARY, [opinion, UP, UP])


class Sentinels:
    """Counts the questions, and answers `opinions` or raises."""

    def __init__(self) -> None:
        self.now = 100.0
        self.questions = 0
        self.opinions: Sequence[Opinion] = [UP, UP, UP]

    def ask(self, _primary: Address) -> Sequence[Opinion]:
        self.questions += 1
        self.now += 0.01
        if not self.opinions:
            raise StoreUnavailable("no Sentinel answers")
        return self.opinions

    def lease(self) -> Lease:
        return Lease(self.ask, lambda: self.now)


def test_writes_under_a_lease_ask_nothing() -> None:
    sentinels = Sentinels()
    lease = sentinels.lease()
    for _ in range(5):
        lease.confirm_write(PRIMARY)
    assert sentinels.questions == 1


def test_a_lease_is_renewed_in_the_background_once_half_of_it_is_over() -> None:
    sentinels = Sentinels()
    lease = sentinels.lease()
    lease.confirm_write(PRIMARY)
    sentinels.now += 0.5
    lease.confirm_write(PRIMARY)
    wait_until(lambda: sentinels.questions == 2)
    wait_until(lambda: not lease._is_renewed)
    sentinels.now += 0.5  # the first would have ended
    lease.confirm_write(PRIMARY)
    assert lease._verdict.until > sentinels.now


def test_after_its_end_a_write_counts_by_what_the_sentinels_say_then() -> None:
    sentinels = Sentinels()
    lease = sentinels.lease()
    lease.confirm_write(PRIMARY)
    sentinels.now += 2
    lease.confirm_write(PRIMARY)
    sentinels.now += 2
    sentinels.opinions = [UP, UP, replace(UP, primary=OTHER, epoch=4)]
    with pytest.raises(NotConfirmed, match="another server is the primary"):
        lease.confirm_write(PRIMARY)


def test_without_sentinels_nothing_is_confirmed() -> None:
    sentinels = Sentinels()
    sentinels.opinions = []
    with pytest.raises(NotConfirmed, match="no Sentinel answers; whether the write outlives a failover is unknown"):
        sentinels.lease().confirm_write(PRIMARY)


@pytest.mark.parametrize("opinions", [[], [UP]])
def test_reads_go_on_where_too_few_sentinels_answer(opinions: list[Opinion]) -> None:
    sentinels = Sentinels()
    sentinels.opinions = opinions
    lease = sentinels.lease()
    for _ in range(3):
        lease.confirm_read(PRIMARY)
    assert sentinels.questions == 1
    with pytest.raises(NotConfirmed):
        lease.confirm_write(PRIMARY)


@pytest.mark.parametrize("against", [DOWN, flagged(b"o_down"), replace(UP, primary=OTHER, epoch=4)])
def test_a_read_counts_under_a_lease_until_a_sentinel_speaks_against_the_primary(against: Opinion) -> None:
    sentinels = Sentinels()
    lease = sentinels.lease()
    lease.confirm_read(PRIMARY)
    sentinels.opinions = [against, against]
    lease.confirm_read(PRIMARY)
    sentinels.now += 1
    for _ in range(2):
        with pytest.raises(NotConfirmed, match=f"the Sentinels do not confirm that {PRIMARY}"):
            lease.confirm_read(PRIMARY)
    assert sentinels.questions == 3


def test_the_lease_of_one_server_is_not_that_of_another() -> None:
    sentinels = Sentinels()
    lease = sentinels.lease()
    lease.confirm_write(PRIMARY)
    with pytest.raises(NotConfirmed):
        lease.confirm_write(OTHER)


def test_writes_share_a_question_that_was_asked_after_they_were_confirmed() -> None:
    sentinels = Sentinels()
    lease = sentinels.lease()
    asked_at = sentinels.now
    lease.confirm_write(PRIMARY)
    lease._question(PRIMARY, since=asked_at - 0.001)
    assert sentinels.questions == 1
    lease._question(PRIMARY, since=asked_at + 0.001)
    assert sentinels.questions == 2


@pytest.mark.parametrize("opinions", [[UP, UP], [UP, UP, CUT_OFF]])
def test_after_a_silence_of_the_primary_all_sentinels_must_reach_it(
    opinions: list[Opinion],
) -> None:
    sentinels = Sentinels()
    sentinels.opinions = opinions
    lease = sentinels.lease()
    lease.confirm_write(PRIMARY)
    lease.note_silence(PRIMARY)
    sentinels.now += 0.3
    lease.note_silence(PRIMARY)
    sentinels.now += 0.3
    lease.note_reply(PRIMARY)
    with pytest.raises(NotConfirmed, match="may begin a failover"):
        lease.confirm_write(PRIMARY)
    sentinels.opinions = [UP, UP, UP]
    lease.confirm_write(PRIMARY)
    sentinels.opinions = opinions
    sentinels.now += 2
    with pytest.raises(NotConfirmed, match="may begin a failover"):
        lease.confirm_write(PRIMARY)
    sentinels.now += 5
    lease.confirm_write(PRIMARY)


def test_a_short_silence_and_that_of_another_server_do_not_matter() -> None:
    sentinels = Sentinels()
    sentinels.opinions = [UP, UP]
    lease = sentinels.lease()
    lease.confirm_write(PRIMARY)
    lease.note_silence(PRIMARY)
    sentinels.now += 0.4
    lease.note_reply(PRIMARY)
    lease.note_silence(OTHER)
    sentinels.now += 2
    lease.note_reply(PRIMARY)
    lease.confirm_write(PRIMARY)


def test_reads_go_on_after_a_silence_where_a_sentinel_does_not_answer() -> None:
    sentinels = Sentinels()
    sentinels.opinions = [UP, UP]
    lease = sentinels.lease()
    lease.note_silence(PRIMARY)
    sentinels.now += 2
    lease.note_reply(PRIMARY)
    lease.confirm_read(PRIMARY)
