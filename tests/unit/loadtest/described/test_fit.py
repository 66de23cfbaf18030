"""Which experiments a target can run: derived from what it has, and each refusal in one line."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from loadtest.checker import Kind
from loadtest.described.adapter import DescribedAdapter
from loadtest.described.fit import fit
from loadtest.described.make_runtime import make_cluster
from loadtest.experiments import EXPERIMENTS
from loadtest.target import Target
from tests.support.described import COUNT, LOGOUT, write_target

ALL = """
[runtime]
kind = "commands"
roles.node = ["a", "b"]
roles.store = ["redis"]
actions = { kill = "true", restart = "true", pause = "true", resume = "true", scale = "true {nodes}" }
"""


SESSIONS = '[requests.sessions]\npath = "/sessions"\n'
PASSWORD = '[requests.password]\npath = "/password"\njson = { new = "{new_password}" }\n'


def target(folder: Path, runtime: str, requests: str = LOGOUT + COUNT, **lacks: str) -> Target:
    description = write_target(folder, runtime, requests=requests)
    found: dict[Any, str] = {Kind[name]: why for name, why in lacks.items()}
    adapter = DescribedAdapter.from_file(description.file)
    return cast("Target", SimpleNamespace(cluster=make_cluster(description), adapter=adapter, lacks=found))


def faults_of(folder: Path, runtime: str, requests: str = LOGOUT + COUNT) -> dict[str, list[str]]:
    found = fit(EXPERIMENTS, target(folder, runtime, requests), {})
    return {one.name: [variant.fault.what for variant in one.variants] for one in found.experiments}


def test_a_target_with_all_actions_runs_what_needs_no_more(tmp_path: Path) -> None:
    assert faults_of(tmp_path, ALL) == {
        "kill-node": ["kill node-2"],
        "rolling-restart": ["restart all nodes, one by one"],
        "silent-node": ["pause node-2"],
        "single-server-killed": ["kill store"],
        "slow-store": ["pause store"],
        "store-outage": ["pause the store"],
        "concurrent-writes": ["nothing"],
        "late-writes": ["nothing"],
        "scale": ["scale to 6 nodes"],
        "database-killed": ["kill store"],
    }


def test_an_outage_is_a_kill_where_nothing_can_pause_and_a_cut_behind_a_proxy(tmp_path: Path) -> None:
    without_pause = ALL.replace(' pause = "true", resume = "true",', "")
    assert faults_of(tmp_path, without_pause)["store-outage"] == ["kill the store"]
    behind = f'{ALL}store_proxy = {{ listen = "127.0.0.1:1", to = "127.0.0.1:2" }}\n'
    found = faults_of(tmp_path, behind)
    assert found["store-outage"] == ["cut the network to the store"]
    assert found["late-writes"] == ["slow the store down by 60 ms"]
    assert found["slow-store"] == ["pause store", "silence the network to the store", "slow the store down by 100 ms"]


@pytest.mark.parametrize(
    ("name", "runtime", "requests", "why"),
    [
        ("scale", ALL.replace(', scale = "true {nodes}"', ""), LOGOUT, "the runtime commands has no action scale"),
        ("kill-node", ALL.replace('"a", "b"', '"a"'), LOGOUT, "it needs node-2, and runtime.roles.node gives 1"),
        ("slow-store", ALL.replace('store = ["redis"]', 'store = ["redis", "replica"]'), LOGOUT,
         "it needs the only store, and runtime.roles.store gives 2"),
        ("kill-node", ALL.replace(' restart = "true",', ""), LOGOUT, "the runtime commands has no action restart"),
        ("kill-node", "", LOGOUT, "the file has no runtime"),
        ("concurrent-writes", ALL, LOGOUT, "the file has no request count or add"),
        ("late-writes", ALL, COUNT, "the file has no request logout"),
        ("login-again", ALL, LOGOUT, "the file has no request sessions"),
        ("login-again", ALL, SESSIONS, "the file has no request password"),
        ("login-again", ALL, SESSIONS + PASSWORD, "the file has no request count or add"),
        ("password-changes", ALL, COUNT + SESSIONS + PASSWORD, "the file has no runtime.store_proxy before the store"),
        ("memory-round-robin", ALL, LOGOUT,
         "it is about clusters where each node has sessions of its own, and no file says so"),
        ("primary-killed", ALL, LOGOUT, "the runtime commands can't tell the store's primary and replicas"),
        ("slow-store.slow", ALL, LOGOUT, "the file has no runtime.store_proxy before the store"),
    ],
    ids=lambda value: value if "\n" not in value else "",
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_name(tmp_path: Path, name: str, runtime: str, requests: str, why: str) -> None:
    experiment, _, variant = name.partition(".")
    wanted = {experiment: [variant]} if variant else {}
    found = fit([one for one in EXPERIMENTS if one.name == experiment], target(tmp_path, runtime, requests), wanted)
    assert found.refused[name] == why
    assert not found.experiments


def test_an_experiment_of_which_nothing_could_be_looked_for_does_not_run(tmp_path: Path) -> None:
    (late,) = (one for one in EXPERIMENTS if one.name == "late-writes")
    blind = target(tmp_path, ALL, REVIVED="logouts do not show")
    (fitting,) = fit([late], blind, {}).experiments
    assert {claim.text for claim in fitting.variants[0].claims} >= {"no GET fails"}, "that can still be looked for"


def test_users_with_tabs_fit_where_sessions_and_passwords_are_described(tmp_path: Path) -> None:
    behind = f'{ALL}store_proxy = {{ listen = "127.0.0.1:1", to = "127.0.0.1:2" }}\n'
    found = faults_of(tmp_path, behind, LOGOUT + COUNT + SESSIONS + PASSWORD)
    assert found["login-again"] == ["nothing"]
    assert len(found["password-changes"]) == 1


def test_without_a_runtime_loads_without_a_fault_run(tmp_path: Path) -> None:
    assert set(faults_of(tmp_path, "")) == {"concurrent-writes", "late-writes"}
