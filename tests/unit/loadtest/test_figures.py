"""Counting observations."""

from msgspec import UNSET

from loadtest import Action, Answer, Expected, Figures, Finding, Judgement, Observation, Operation, Outcome, Tally
from loadtest.figures import summary


def observed(
    *findings: Finding,
    who: str = "visitor-1",
    action: Action = Action.LOOK,
    error: str | None = None,
    method: str = "GET",
    node: str = "node-1",
    upstream: str = "200",
) -> Observation:
    return Observation(
        who=who,
        account="alice",
        session=f"{who}#1",
        operation=Operation(action),
        answer=Answer(Outcome.OK if error is None else Outcome.UNKNOWN, UNSET),
        judgement=Judgement(frozenset(findings), error is None, Expected("alice")),
        expected=None,
        method=method,
        path="/me",
        status=200,
        error=error,
        node=node,
        upstream="127.0.0.1:8001",
        upstream_status=upstream,
        started=0.0,
        ended=0.001,
    )


def counted(*observations: Observation, seconds: float = 2.0) -> Figures:
    tally = Tally("steady")
    for observation in observations:
        tally.record(observation)
    return tally.figures(seconds, p50=3.0, p99=40.0, generator_cpu=0.25)


def test_requests_that_found_the_user_logged_out_and_the_users_are_counted_apart() -> None:
    out = observed(Finding.LOGGED_OUT)
    figures = counted(out, out, observed(Finding.LOGGED_OUT, who="visitor-2"), observed(who="visitor-3"))
    assert (figures.logged_out, figures.users_logged_out, figures.users) == (3, 2, 3)
    assert figures.share_logged_out == 0.75


def test_a_failed_request_is_no_share_of_anything_but_the_failures() -> None:
    failed = observed(error="status 502", method="POST")
    figures = counted(observed(), failed, failed, observed(error="no answer: timeout"))
    assert (figures.requests, figures.as_logged_in, figures.failed, figures.failed_gets) == (4, 1, 3, 1)
    assert figures.failures == {"POST /me: status 502": 2, "GET /me: no answer: timeout": 1}
    assert figures.wrong == 0


def test_every_kind_of_loss_is_counted_by_itself() -> None:
    figures = counted(*(observed(finding) for finding in Finding))
    each = (figures.logged_out, figures.visits_lost, figures.cart_lost, figures.revived, figures.crossed)
    assert each == (1, 1, 1, 1, 1)
    assert figures.wrong == 5


def test_who_answered_and_who_was_asked_again_is_counted() -> None:
    figures = counted(observed(), observed(node="node-3", upstream="502, 200"), observed(node=""))
    assert figures.nodes == {"node-1": 1, "node-3": 1}
    assert figures.retried == 1


def test_nothing_seen_is_no_division_by_zero() -> None:
    figures = counted(seconds=0.0)
    assert (figures.rate, figures.share_logged_out) == (0.0, 0.0)
    assert "0 requests" in summary(figures)


def test_the_summary_names_each_failure_and_the_share() -> None:
    text = summary(counted(observed(Finding.LOGGED_OUT), observed(), observed(error="status 502", method="POST")))
    assert "1 (50.0% of 2 made while logged in), 1 of 1 users" in text
    assert "1 x POST /me: status 502" in text
    assert "node-1 3" in text
