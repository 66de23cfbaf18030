"""What a load says beside its figures: members that have ended, answers of a proxy, what was not looked for."""

import io
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from deploy import ClusterError, ClusterSpec, Member, MemberState, Role
from loadtest.checker import Kind
from loadtest.claims.claim import Verdict
from loadtest.claims.data import find_unsent
from loadtest.described.make_runtime import make_cluster
from loadtest.described.target import DescribedTarget
from loadtest.load import LOAD, LoadResult, explain_failures, find_ended, show_load
from loadtest.load_profile import LoadProfile
from loadtest.target import ClusterTarget
from tests.support.described import write_target
from tests.support.fake_cluster import FakeCluster
from tests.unit.loadtest.test_claims import figures, found

PROXY = """
[runtime]
kind = "commands"
roles.proxy = ["nginx"]
roles.node = ["web"]
[runtime.actions]
state = "echo running"
"""


class Crashing(FakeCluster):
    """Its node-2 ends with a reason."""

    def exit_reason(self, _name: str) -> str:
        return "exit status 3"

    def log_lines(self, name: str, count: int) -> tuple[str, ...]:
        if name == "proxy":
            raise ClusterError("its log can't be read")
        return ("one", " MemoryError: \x1b[2Jno room ", " ")


def change(cluster: FakeCluster, name: str, **changes: object) -> None:
    cluster._members[name] = replace(cluster._members[name], **changes)  # type: ignore[arg-type]


def test_a_member_that_has_ended_is_named_with_its_end_and_the_last_line_of_its_log() -> None:
    with Crashing(ClusterSpec(nodes=3)) as cluster:
        before = cluster.members()
        assert find_ended(cluster, before) == ()
        change(cluster, "node-2", state=MemberState.ENDED, pid=None)
        change(cluster, "node-3", pid=77, own_name="web-3")
        change(cluster, "proxy", state=MemberState.ENDED, pid=None)
        own = tuple(replace(one, own_name="web-3") if one.name == "node-3" else one for one in before)
        assert sorted(map(str, find_ended(cluster, own))) == [
            r"node-2 has ended, exit status 3: MemoryError: \x1b[2Jno room",
            r"node-3 (web-3) was started again by something else: MemoryError: \x1b[2Jno room",
            "proxy has ended, exit status 3",
        ]


def test_a_member_that_did_not_run_before_or_of_which_nothing_is_known_is_not_named() -> None:
    gone = Member("node-9", Role.NODE, "", 9, "", MemberState.RUNNING)
    with Crashing(ClusterSpec(nodes=2)) as cluster:
        change(cluster, "node-2", state=MemberState.ENDED, pid=None)
        before = cluster.members()
        change(cluster, "node-2", state=MemberState.RUNNING, pid=8)
        assert [one.how for one in find_ended(cluster, (*before, gone))] == ["is gone"]


@pytest.mark.parametrize(
    ("runtime", "failures", "hint"),
    [
        ("", {"GET /me: status 502": 9, "POST /x: status 504": 1}, "status 502 or 504: "),
        ("", {"GET /me: status 502": 9, "GET /me: status 500": 50}, ""),
        ("", {"GET /me: status 503": 50}, ""),
        (PROXY, {"GET /me: status 503": 50}, "status 503: "),
        (PROXY, {"GET /me: status 503": 40}, ""),
    ],
)
def test_answers_of_the_proxy_of_a_target_are_explained(
    tmp_path: Path, runtime: str, failures: dict[str, int], hint: str
) -> None:
    description = write_target(tmp_path, runtime)
    target = DescribedTarget(description, make_cluster(description))
    said = explain_failures(figures(failures=failures, shed=35), target)
    assert said.startswith(hint)
    assert ("10 s after one error" in said) is bool(hint)
    assert explain_failures(figures(failures=failures), ClusterTarget(FakeCluster(ClusterSpec()))) == ""


@pytest.mark.parametrize(
    ("changes", "lacks"),
    [({}, {Kind.REVIVED}), ({"logouts": 1}, set()), ({"ends_of_others": 1}, set())],
)
def test_a_revived_logout_is_not_looked_for_where_there_was_none(changes: dict[str, int], lacks: set[Kind]) -> None:
    findings = found({"phases": {LOAD: figures()}}, **changes).findings
    assert set(find_unsent(findings)) == lacks
    result = LoadResult(
        LoadProfile(users=24, spawn_rate=20, wait=(0.2, 0.8)), 30.0, "http://x", {}, findings, find_unsent(findings)
    )
    assert result.lost.verdict is Verdict.HOLDS
    console = Console(width=80, file=io.StringIO())
    with console.capture() as printed:
        console.print(show_load(result))
    shown = " ".join(printed.get().split())
    assert ("logouts revived 0" in shown) is not bool(lacks)
    assert ("not looked for: logout revived: no logout was carried out" in shown) is bool(lacks)
    assert find_unsent(msgspec.structs.replace(findings, revived=1)) == {}, "one that was found was looked for"
