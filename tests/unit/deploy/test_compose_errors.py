"""Where Docker is missing or does not run, that is said in one line."""

from pathlib import Path

import pytest

from deploy import ClusterError, ClusterSpec, ComposeCluster
from deploy.ports import free_ports, is_taken


def test_docker_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match=r"^docker is not installed: install Docker, or use local processes$"):
        ComposeCluster(ClusterSpec()).start()


@pytest.mark.docker
def test_an_engine_that_does_not_run_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    cluster = ComposeCluster(ClusterSpec())
    with pytest.raises(ClusterError, match=r"^the Docker engine is not running, or this user may not use it"):
        cluster.start()
    cluster.stop()


@pytest.mark.docker
def test_a_setting_that_setup_refuses_ends_the_start_and_nothing_is_left() -> None:
    port = free_ports(1)[0]
    spec = ClusterSpec(nodes=1, port=port, node_settings={"SESSION_NAME": "not a name"})
    with pytest.raises(ClusterError, match="session_cookie 'not a name' cannot be used"):
        ComposeCluster(spec).start()
    assert not is_taken(port)
