"""Dependencies point one way: session_cluster -> loadtest -> deploy -> nodes, proxy."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = {"nodes", "proxy", "deploy", "loadtest", "session_cluster", "tests"}
ALLOWED = {
    "nodes": {"nodes"},
    "proxy": {"proxy"},
    "deploy": {"deploy", "nodes", "proxy"},
    "loadtest": {"loadtest", "deploy", "nodes", "proxy"},
    "session_cluster.py": {"loadtest", "deploy", "nodes", "proxy"},
}


def imported(path: Path) -> set[str]:
    """The absolute names of the modules that a file imports."""
    package = path.relative_to(ROOT).parent.parts
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            names.add(".".join(part for part in (base, node.module) if part))
    return names


def files(place: str) -> list[Path]:
    path = ROOT / place
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


@pytest.mark.parametrize("place", ALLOWED)
def test_a_folder_imports_only_what_lies_below_it(place: str) -> None:
    assert files(place)
    for path in files(place):
        ours = {name.split(".")[0] for name in imported(path)} & OURS
        assert ours <= ALLOWED[place], path


def test_the_session_layer_knows_nothing_of_the_rest_of_the_nodes() -> None:
    for path in files("nodes/sessions"):
        names = {name for name in imported(path) if name.split(".")[0] in OURS}
        assert all(name.startswith("nodes.sessions") for name in names), path


def test_the_proxy_knows_nothing_of_flask() -> None:
    for path in files("proxy"):
        assert not {name.split(".")[0] for name in imported(path)} & {"flask", "werkzeug"}, path


def test_nothing_unpickles() -> None:
    for place in ALLOWED:
        for path in files(place):
            assert not imported(path) & {"pickle", "shelve", "marshal", "dill"}, path
