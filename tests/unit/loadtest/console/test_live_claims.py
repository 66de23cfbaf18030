"""Claims while an experiment runs: they are judged as far as the findings allow, and never as a verdict."""

from __future__ import annotations

import pytest

from loadtest.checker import Checker, Kind
from loadtest.console.live_claims import ClaimState, LiveClaim, judge_live
from loadtest.experiment import ARRIVAL, Case
from loadtest.experiments import BY_NAME, EXPERIMENTS
from loadtest.history import Action, Mark
from loadtest.suite import STEADY_AFTER, name_before
from tests.support.checker_script import show_user

USERS = 24
BEGAN = 1_800_000_000.0
NOT_YET, SO_FAR, NOT_SO_FAR = ClaimState.NOT_YET, ClaimState.SO_FAR, ClaimState.NOT_SO_FAR


class History:
    """A history as it grows. Users log in at the begin."""

    def __init__(self) -> None:
        self._checker = Checker()
        self._at = BEGAN
        self.mark(ARRIVAL)
        for user in range(USERS):
            self.look(user, Action.LOGIN)

    def mark(self, name: str) -> None:
        self._at += 0.01
        self._checker.feed(Mark(self._at, name))

    def look(self, user: int, action: Action = Action.LOOK, *, found: bool = True) -> None:
        self._at += 0.01
        self._checker.feed(show_user(user, self._at, action=action, found=found, node="node-1"))

    def judge(self, case: Case) -> dict[str, LiveClaim]:
        return {one.claim: one for one in judge_live(case, self._checker.findings())}


def case_of(name: str) -> Case:
    experiment = BY_NAME[name]
    return Case(experiment, experiment.variants[0])


NOTHING_LOST = "no session, update or logout is lost, and no answer is another user's"


def test_what_a_target_does_not_show_is_not_looked_for_from_the_beginning() -> None:
    case, text = case_of("concurrent-writes"), "no update is lost, whatever the order of the writes"
    live = {one.claim: one for one in judge_live(case, None, dict.fromkeys(Kind, "nothing is shown"))}
    assert (live[text].state, live[text].seen) == (ClaimState.UNSEEN, "nothing is shown")
    some = [one.claim for one in judge_live(case, None, {Kind.UPDATE_LOST: "no counter"})]
    assert text not in some
    assert any(claim.startswith("no session is lost, no old value is shown") for claim in some)


@pytest.mark.parametrize("name", ["kill-node", "kill-sticky-node"])
def test_before_its_phase_a_claim_is_not_judged(name: str) -> None:
    history = History()
    case = case_of(name)
    assert {one.state for one in judge_live(case, None)} == {NOT_YET}
    history.mark("before")
    for number in range(100):
        history.look(number % USERS)
    judged = history.judge(case)
    assert judged.pop("no request fails before the fault").state is SO_FAR
    assert {one.state for one in judged.values()} == {NOT_YET}


def test_during_a_fault_a_claim_holds_so_far_with_enough_data_and_breaks_with_a_loss() -> None:
    history = History()
    case = case_of("kill-node")
    history.mark("during")
    assert history.judge(case)[NOTHING_LOST].state is NOT_YET
    for number in range(100):
        history.look(number % USERS)
    claim = history.judge(case)[NOTHING_LOST]
    assert claim.state is SO_FAR
    assert "in 124 requests of 24 users" in claim.seen
    history.look(3, found=False)
    claim = history.judge(case)[NOTHING_LOST]
    assert claim.state is NOT_SO_FAR
    assert "1 x session lost" in claim.seen


def test_the_claims_are_those_of_the_verdict() -> None:
    case = case_of("kill-node")
    own = {claim.text for claim in case.variant.claims}
    assert {one.claim for one in judge_live(case, None)} == {name_before(case), *own, STEADY_AFTER}
    without_fault = case_of("memory-round-robin")
    assert STEADY_AFTER not in {one.claim for one in judge_live(without_fault, None)}


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda experiment: experiment.name)
def test_a_claim_that_needs_the_whole_history_or_its_times_waits_for_the_end(experiment: object) -> None:
    """Every claim of every experiment can be asked at any moment."""
    history = History()
    for variant in experiment.variants:  # type: ignore[attr-defined]
        case = Case(experiment, variant)  # type: ignore[arg-type]
        for phase in case.phases:
            history.mark(phase.name)
        assert len(history.judge(case)) > 0 or not case.variant.claims
        assert {one.state for one in history.judge(case).values()} <= set(ClaimState)
