"""What the load generator writes down, and what the checker finds in it, on a server whose faults are known."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy import ClusterSpec, LocalCluster, StoreKind
from loadtest import Generator, GeneratorError
from loadtest.checker import Findings, Kind, check
from loadtest.history import Header, Mark, Note, Op, Truncated, read
from loadtest.ledger import Action, Outcome
from loadtest.protocol import Mix
from tests.integration.loadtest.test_old_generator import alive, start, until
from tests.support.stand_in import StandIn, serving


def recorded(path: Path, behaviour: StandIn, mix: Mix = Mix.EVERYDAY, requests: int = 600, users: int = 20) -> Findings:
    """What is found in the history of about that many requests."""
    with Generator() as generator, serving(behaviour) as url:
        generator.start(start(url, users=users, mix=mix, history=str(path)))
        until(requests_of(generator, requests), f"{requests} requests")
        generator.stop()
    return check(read(path))


def requests_of(generator: Generator, least: int, phase: str = "first") -> Callable[[], bool]:
    def enough() -> bool:
        generator.check()
        figures = None if generator.progress is None else generator.progress.figures
        return figures is not None and figures.phase == phase and figures.requests >= least

    return enough


def kinds(findings: Findings) -> set[Kind]:
    return {kind for kind in Kind if findings.count(kind)}


@pytest.mark.parametrize(("mix", "users"), [(Mix.EVERYDAY, 20), (Mix.SHARED_WRITERS, 3), (Mix.LOGOUT_RACE, 3)])
def test_in_the_history_of_a_correct_server_nothing_is_found(tmp_path: Path, mix: Mix, users: int) -> None:
    findings = recorded(tmp_path / "h.gz", StandIn(), mix, users=users)
    assert findings.examples == {}
    assert findings.complete
    assert findings.total.failed == 0
    assert findings.total.as_logged_in > 50


def test_every_operation_is_written_down_with_what_was_expected_and_what_came(tmp_path: Path) -> None:
    path = tmp_path / "h.gz"
    recorded(path, StandIn())
    header, *events = read(path)
    assert isinstance(header, Header)
    assert header.cluster["users"] == 20
    ops = [event for event in events if isinstance(event, Op)]
    assert {op.action for op in ops} == set(Action)
    assert len({op.who for op in ops}) == 20
    assert all(op.started <= op.ended for op in ops)
    assert all(op.session.rpartition("#")[0] == op.who for op in ops)
    looks = [op for op in ops if op.action is Action.LOOK and op.outcome is Outcome.OK and op.expected_user]
    assert looks
    for op in looks:
        assert (op.user, op.node, op.upstream_status, op.status) == (op.expected_user, "node-1", "200", 200)
        assert op.expected_visits == (op.visits, op.visits)
        assert isinstance(op.expected_cart, dict)
        assert {item: tuple(span) for item, span in op.expected_cart.items()} == {
            item: (count, count) for item, count in (op.cart or {}).items()
        }


def test_phases_are_marked_and_the_generators_own_load_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "h.gz"
    with Generator() as generator, serving(StandIn()) as url:
        generator.start(start(url, phase="before", history=str(path)))
        until(requests_of(generator, 100, "before"), "100 requests")
        generator.enter("during")
        until(requests_of(generator, 100, "during"), "100 more")
        generator.stop()
    events = list(read(path))
    assert [event.name for event in events if isinstance(event, Mark)] == ["before", "during", "end"]
    notes = [event for event in events if isinstance(event, Note)]
    assert notes
    assert all(note.figures["generator_cpu"] >= 0 for note in notes)
    phases = check(events).phases
    assert all(figures.operations >= 90 for figures in phases.values())


def test_sessions_that_are_lost_are_found(tmp_path: Path) -> None:
    findings = recorded(tmp_path / "h.gz", StandIn(memories=3), requests=900)
    assert Kind.SESSION_LOST in kinds(findings)
    assert Kind.CROSSED not in kinds(findings)
    assert findings.total.share_logged_out == pytest.approx(2 / 3, abs=0.12)
    assert findings.users_lost > 10


@pytest.mark.parametrize(
    ("behaviour", "mix", "expected"),
    [
        (StandIn(forgetful_cart=True), Mix.EVERYDAY, {Kind.UPDATE_LOST}),
        (StandIn(forgetful_cart=True), Mix.SHARED_WRITERS, {Kind.UPDATE_LOST}),
        (StandIn(revived=True), Mix.EVERYDAY, {Kind.REVIVED}),
        (StandIn(revived=True), Mix.LOGOUT_RACE, {Kind.REVIVED}),
    ],
)
def test_what_a_server_does_wrong_is_found_and_nothing_else(
    tmp_path: Path, behaviour: StandIn, mix: Mix, expected: set[Kind]
) -> None:
    users = 20 if mix is Mix.EVERYDAY else 3
    assert kinds(recorded(tmp_path / "h.gz", behaviour, mix, users=users)) == expected


def test_crossed_sessions_are_found(tmp_path: Path) -> None:
    assert Kind.CROSSED in kinds(recorded(tmp_path / "h.gz", StandIn(crossing=True)))


def test_writes_that_fail_but_may_have_happened_are_no_finding(tmp_path: Path) -> None:
    findings = recorded(tmp_path / "h.gz", StandIn(failed_visits=True))
    assert findings.examples == {}
    assert findings.total.failures == {"POST /visits: status 502": findings.total.unknown}


def test_a_generator_that_is_killed_leaves_a_readable_beginning(tmp_path: Path) -> None:
    path = tmp_path / "h.gz"
    with Generator() as generator, serving(StandIn()) as url:
        generator.start(start(url, history=str(path)))
        until(requests_of(generator, 300), "300 requests")
        os.kill(generator.pid, signal.SIGKILL)
        until(lambda: not alive(generator), "the generator to be gone")
    with pytest.raises(Truncated):
        list(read(path))
    assert check(read(path, partial=True)).total.operations >= 200


def test_a_history_that_cannot_be_written_is_reported_in_one_line(tmp_path: Path) -> None:
    with Generator() as generator, serving(StandIn()) as url:
        where = str(tmp_path / "nowhere" / "h.gz")
        with pytest.raises(GeneratorError, match=r"cannot write the history .*: No such file or directory"):
            generator.start(start(url, history=where))


@pytest.mark.parametrize("mix", [Mix.SHARED_WRITERS, Mix.LOGOUT_RACE])
def test_our_nodes_lose_and_revive_nothing_however_many_work_on_one_session(tmp_path: Path, mix: Mix) -> None:
    path = tmp_path / "h.gz"
    with Generator() as generator, LocalCluster(ClusterSpec(nodes=2, store=StoreKind.REDIS)) as cluster:
        cluster.wait_ready(timeout=30)
        generator.start(start(cluster.url, accounts=dict(cluster.users), users=3, mix=mix, history=str(path)))
        until(requests_of(generator, 500), "500 requests")
        generator.stop()
    findings = check(read(path))
    assert findings.examples == {}
    assert findings.total.failed == 0
    first = next(event for event in read(path) if isinstance(event, Op))
    assert first.upstream.startswith("127.0.0.1:")
