"""Nodes of an earlier commit: where their code comes from, and what is said where it is missing."""

import subprocess
from pathlib import Path

import pytest

from deploy import ClusterError
from deploy.local import revision


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose first commit has a package `nodes`, and whose second one has another version of it."""
    root = tmp_path / "checkout"
    (root / "nodes").mkdir(parents=True)
    git = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
    subprocess.run([*git, "init", "-q"], cwd=root, check=True)
    for text in ("first", "second"):
        (root / "nodes" / "app.py").write_text(text)
        subprocess.run([*git, "add", "."], cwd=root, check=True)
        subprocess.run([*git, "commit", "-qm", text], cwd=root, check=True)
    monkeypatch.setattr(revision, "python_path", lambda: [str(root)])
    return root


def test_the_nodes_of_an_earlier_commit_are_extracted(checkout: Path, tmp_path: Path) -> None:
    folder = revision.extract_nodes("HEAD~1", tmp_path / "earlier")
    assert (folder / "nodes" / "app.py").read_text() == "first"


def test_a_commit_that_a_shallow_clone_lacks_is_named(checkout: Path, tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=r"^the nodes of 01db56e need the history of the checkout: .*unshallow$"):
        revision.extract_nodes("01db56e", tmp_path / "earlier")
    assert str(revision.find_lack("01db56e")).endswith("unshallow")
    assert revision.find_lack("HEAD~1") is None


def test_an_installed_package_says_that_it_needs_the_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(revision, "python_path", list)
    with pytest.raises(ClusterError, match=r"^the nodes of 01db56e need the checkout: run it from a clone"):
        revision.extract_nodes("01db56e", tmp_path / "earlier")
