"""cluster.json of clusters that run, as other commands find them."""

import os
import tempfile
from pathlib import Path

import pytest

from deploy.local.state import Description, StateDir, find_running

DESCRIPTION = Description(
    url="http://127.0.0.1:8080", pid=os.getpid(), node="flask", store="redis", balance="round_robin",
    session_cookie="session", users={}, password="secret", processes=[],
)  # fmt: skip


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StateDir:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    state = StateDir(None)
    state.describe(DESCRIPTION)
    assert find_running(None) == {state.path: DESCRIPTION}
    return state


@pytest.mark.parametrize("content", [b"", b"[", b"{}", b"\xff{}", b'{"url": "\xff"}'])
def test_a_damaged_description_is_no_cluster(state: StateDir, content: bytes) -> None:
    (state.path / "cluster.json").write_bytes(content)
    assert find_running(None) == find_running(state.path) == {}


@pytest.mark.parametrize("pid", [-1, 0, 99_999_999_999_999])
def test_a_description_whose_pid_cannot_exist_is_not_a_running_cluster(state: StateDir, pid: int) -> None:
    path = state.path / "cluster.json"
    path.write_text(path.read_text().replace(f'"pid": {os.getpid()}', f'"pid": {pid}'))
    assert find_running(None) == find_running(state.path) == {}


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to another user")
def test_the_folder_of_another_user_is_not_looked_into(state: StateDir) -> None:
    os.chown(state.path, 65534, 65534)
    assert find_running(None) == {}
    assert find_running(state.path) == {state.path: DESCRIPTION}
