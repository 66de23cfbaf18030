"""Virtual users on a real cluster: concurrent ones, those of the reference implementations, and plain Locust."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy import ClusterSpec, LocalCluster, NodeKind, StoreKind
from loadtest.checker import Findings, check
from loadtest.generator import Generator
from loadtest.history import VERSION, Header, Op, read_part
from loadtest.load_profile import LoadProfile, Mix
from loadtest.target import ClusterTarget
from loadtest.targets.reference import local_cluster
from tests.support.node import ROOT
from tests.support.waiting import wait_until


def load(spec: ClusterSpec, folder: Path, users: int, mix: Mix = Mix.EVERYDAY, size: int = 200_000) -> Findings:
    """Return what is found in a history of about so many bytes."""
    profile = LoadProfile(users=users, spawn_rate=20, wait=(0.02, 0.1), mix=mix)
    with ClusterTarget(local_cluster(spec)) as target, Generator(profile, target, folder) as generator:
        generator.start()
        (part,) = generator.parts

        def enough() -> bool:
            generator.check()
            return part.exists() and part.stat().st_size > size

        wait_until(enough, f"{size} bytes of history", timeout=40)
        generator.stop()
    first = next(event for event in read_part(part) if isinstance(event, Op))
    assert first.upstream.startswith("127.0.0.1:")
    return check([Header(version=VERSION, title="load", started=0.0), *read_part(part)])


@pytest.mark.parametrize("mix", [Mix.SHARED_WRITERS, Mix.LOGOUT_RACE])
def test_our_nodes_lose_nothing_when_tabs_share_a_session(tmp_path: Path, mix: Mix) -> None:
    findings = load(ClusterSpec(nodes=2, store=StoreKind.REDIS, proxy={"login_rate": None}), tmp_path, 3, mix)
    assert findings.examples == {}
    assert findings.total.failed == 0


@pytest.mark.parametrize("kind", [pytest.param(NodeKind.EXPRESS, marks=pytest.mark.node), NodeKind.FLASK_SESSION])
def test_reference_implementations_lose_nothing_on_a_shared_store(tmp_path: Path, kind: NodeKind) -> None:
    spec = ClusterSpec(nodes=2, node=kind, store=StoreKind.REDIS, proxy={"login_rate": None})
    findings = load(spec, tmp_path, 10)
    assert findings.examples == {}
    assert (findings.total.users, findings.total.failed) == (10, 0)
    assert set(findings.total.nodes) == {"node-1", "node-2"}


def test_plain_locust_runs_on_a_cluster_and_ends_with_a_summary(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "locust", "-f", "loadtest/locustfile.py", "--headless", "-u", "5", "-r", "5"]
    with LocalCluster(ClusterSpec(nodes=2, store=StoreKind.REDIS), state_dir=tmp_path / "state") as cluster:
        environment = {**os.environ, "CLUSTER_USERS_FILE": str(tmp_path / "state" / "cluster.json")}
        command += ["--host", cluster.url, "-t", "5s"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    for line in ("What 5 users saw in ", "found logged out   0 ", "failed requests    0", "node-1 ", "node-2 "):
        assert line in done.stdout
