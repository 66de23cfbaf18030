"""The reference implementations as programs of this machine: what is installed, and what they refuse."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from deploy import ClusterError, ClusterSpec, LocalCluster, NodeKind, StoreKind
from loadtest.targets import install
from loadtest.targets.install import InstallError, install_express
from loadtest.targets.reference import local_cluster, make_application

EXPRESS = ClusterSpec(node=NodeKind.EXPRESS, store=StoreKind.REDIS)


def test_an_application_that_cannot_run_here_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InstallError, match=r"^Express cannot run here: `node` is not in PATH; install"):
        local_cluster(EXPRESS)
    monkeypatch.setattr("loadtest.targets.reference.find_spec", lambda _: None)
    with pytest.raises(InstallError, match=r"^Flask-Session is not installed: pip install 'session-cluster\[bench\]'$"):
        local_cluster(ClusterSpec(node=NodeKind.FLASK_SESSION, store=StoreKind.REDIS))


def test_an_application_of_another_kind_than_the_spec_is_refused() -> None:
    flask_session = make_application(NodeKind.FLASK_SESSION)
    with pytest.raises(ClusterError, match="the application must be flask, as in the spec, not flask-session"):
        LocalCluster(ClusterSpec(), application=flask_session)
    with pytest.raises(ClusterError, match="the application must be express, as in the spec, not flask"):
        LocalCluster(EXPRESS)


@pytest.mark.node
@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"SESSION_STORE": "redis"}, "the nodes share their sessions with SESSION_STORE=express alone"),
        ({"SESSIONS": "own", "SESSION_STORE": "file"}, "SESSION_STORE=file: use one of memory, redis"),
        ({"SESSIONS": "own"}, "SESSION_STORE=: use one of memory, redis"),
        ({"SESSIONS": "both"}, "SESSIONS=both: use one of own, shared"),
    ],
)
def test_express_refuses_a_store_that_it_does_not_have_or_share(
    settings: dict[str, str], complaint: str, tmp_path: Path
) -> None:
    (tmp_path / "users.json").write_text('{"users": {}}')
    environment = {"SESSION_SECRETS": "s" * 32, "CLUSTER_USERS_FILE": str(tmp_path / "users.json"), **settings}
    command = ["node", str(install_express() / "app.js")]
    done = subprocess.run(
        command, env={"PATH": os.environ["PATH"], **environment}, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 2
    assert complaint in done.stderr


@pytest.mark.node
def test_two_states_of_the_express_application_lie_side_by_side(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = install_express()
    changed = tmp_path / "express"
    shutil.copytree(install.SOURCE, changed)
    (changed / "app.js").write_text("// another state\n")
    monkeypatch.setattr(install, "SOURCE", changed)
    second = install_express()
    try:
        assert second.parent == first.parent
        assert (second / "app.js").read_text() == "// another state\n"
        assert "express-session" in (first / "app.js").read_text()
        assert sorted(script.name for script in second.iterdir()) == sorted(script.name for script in first.iterdir())
    finally:
        shutil.rmtree(second)
