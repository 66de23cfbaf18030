"""Dependencies point one way: session_cluster -> loadtest -> deploy -> nodes, proxy."""

import ast
import graphlib
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple

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


class File(NamedTuple):
    """The names of a file's classes, and what it imports at run time and for types alone."""

    classes: list[str]
    run_time: frozenset[str]
    types: frozenset[str]


@cache
def read(path: Path) -> File:
    """Return what a file defines and imports: `a.b` for `import a.b`, `a.b.c` for `from a.b import c`."""
    package = path.relative_to(ROOT).parent.parts
    classes: list[str] = []
    names: dict[bool, set[str]] = {True: set(), False: set()}
    for statement in ast.parse(path.read_text()).body:
        is_run = not (isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.dump(statement.test))
        for node in ast.walk(statement):
            if isinstance(node, ast.ClassDef):
                classes.append(node.name)
            elif isinstance(node, ast.Import):
                names[is_run] |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                base = package[: len(package) - node.level + 1] if node.level else ()
                module = ".".join((*base, *filter(None, [node.module])))
                names[is_run] |= {f"{module}.{alias.name}" for alias in node.names}
    return File(classes, frozenset(names[True]), frozenset(names[False]))


def imported(path: Path) -> frozenset[str]:
    return read(path).run_time | read(path).types


def top_level(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imported(path)}


def files(place: str) -> list[Path]:
    path = ROOT / place
    if path.is_file():
        return [path]
    return sorted(
        found for found in path.rglob("*.py") if "build" not in found.parts
    )  # of `pip install ./nodes/sessions`


@pytest.mark.parametrize("place", ALLOWED)
def test_a_folder_imports_only_what_lies_below_it(place: str) -> None:
    assert files(place)
    for path in files(place):
        assert top_level(path) & OURS <= ALLOWED[place], path


def test_a_class_has_a_name_of_its_own() -> None:
    paths = [path for place in ALLOWED for path in files(place)]
    names = [name for path in paths for name in read(path).classes]
    assert [name for name, count in Counter(names).items() if count > 1] == []


def test_the_session_layer_knows_nothing_of_the_rest_of_the_nodes() -> None:
    for path in files("nodes/sessions"):
        names = {name for name in imported(path) if name.split(".")[0] in OURS}
        assert all(name.startswith("nodes.sessions") for name in names), path


def test_the_session_layer_logs_under_the_name_that_its_package_has() -> None:
    for path in files("nodes/sessions"):
        assert 'getLogger("' not in path.read_text(), path


def test_the_proxy_knows_nothing_of_flask() -> None:
    for path in files("proxy"):
        assert not top_level(path) & {"flask", "werkzeug"}, path


def test_nothing_unpickles() -> None:
    for place in ALLOWED:
        for path in files(place):
            assert not top_level(path) & {"pickle", "shelve", "marshal", "dill"}, path


BELOW = {
    "deploy/redis": {
        *("deploy.redis", "deploy.cluster", "deploy.fault_proxy", "deploy.spec", "deploy.store_control"),
        "deploy.waiting",
    },
    "deploy/local": {"deploy.local", "deploy.redis"},
    "deploy/compose": {"deploy.compose", "deploy.redis"},
}
OPTIONAL = {"nodes.sessions.stores.sql.engine": {"nodes.sessions.stores.sql.postgresql"}}
"""Imported inside a function, where the driver is needed."""


def test_redis_does_not_know_where_it_runs_and_containers_import_nothing_from_local() -> None:
    for place, allowed in BELOW.items():
        for path in files(place):
            layers = ("deploy.",) if place == "deploy/redis" else ("deploy.local", "deploy.compose", "deploy.redis")
            ours = {name for name in imported(path) if name.startswith(layers)}
            assert all(name.startswith(tuple(allowed)) for name in ours), path


def import_graph() -> dict[str, set[str]]:
    """Return each module and what it imports of ours when it runs."""
    paths = {module_name(path): path for place in ALLOWED for path in files(place)}
    graph = {}
    for name, path in paths.items():
        modules = {each if each in paths else each.rpartition(".")[0] for each in read(path).run_time}
        graph[name] = (modules & paths.keys()) - {name} - OPTIONAL.get(name, set())
    return graph


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    graphlib.TopologicalSorter(import_graph()).prepare()  # raises CycleError with the circle


BY_PATH = {"deploy.local.reaper", "deploy.swarm.beside", "deploy.tcp_proxy"}
"""Run as `python file.py`."""


def test_what_python_m_runs_is_not_imported_before_it_runs() -> None:
    """Python would print a RuntimeWarning each time, and run the module twice."""
    graph = import_graph()
    commands = {name for place in ALLOWED for name in map(module_name, filter(has_main, files(place)))} - BY_PATH
    assert "deploy.compose.setup" in commands
    for command in commands:
        loaded, waiting = set[str](), packages_of(command)
        while waiting:
            module = waiting.pop()
            loaded.add(module)
            waiting |= {*graph[module], *packages_of(module)} - loaded
        assert command not in loaded


def has_main(path: Path) -> bool:
    return '\nif __name__ == "__main__":' in path.read_text()


def packages_of(module: str) -> set[str]:
    """Return the packages that `module` lies in, which are imported first."""
    parts = module.split(".")
    return {".".join(parts[:length]) for length in range(1, len(parts))}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_the_prober_starts_quickly() -> None:
    """Each load starts one: with `deploy`, its imports took a second of CPU."""
    code = "import sys, loadtest.prober.process; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = set(subprocess.check_output([sys.executable, "-c", code], text=True, cwd=ROOT).split())
    assert not loaded & {"deploy", "flask", "redis", "cryptography"}
