"""The session library as a distribution of its own: what its users install, and the first example of its README."""

from pathlib import Path

import pytest

import nodes.sessions
from tests.support.distributions import Distribution, Environment, build
from tests.support.readme import blocks
from tests.support.valkey import Valkey

LIBRARY = "nodes/sessions"
NEEDED = {
    "blinker",
    "click",
    "flask",
    "flask-shared-sessions",
    "itsdangerous",
    "jinja2",
    "markupsafe",
    "msgspec",
    "werkzeug",
}
REDIS = "redis://127.0.0.1:6379/0"
COUNT = """
client = app.test_client()
print([client.post("/visits").json["visits"] for _ in range(3)])
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Distribution:
    return build(LIBRARY, tmp_path_factory.mktemp("library"))


@pytest.fixture(scope="module")
def environment(library: Distribution, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the wheel and nothing else, until a test installs more."""
    environment = Environment(tmp_path_factory.mktemp("environment"))
    environment.install(str(library.wheel))
    return environment


def run(environment: Environment, script: str, folder: Path) -> str:
    done = environment.run("python", "-c", script, cwd=folder, SESSION_SECRET="x" * 32)
    assert done.returncode == 0, done.stderr
    return done.stdout


def example(store: str) -> str:
    (block,) = [block for block in blocks(f"{LIBRARY}/README.md") if "Sessions(app" in block]
    assert f'RedisStore.from_url("{REDIS}")' in block
    return (
        block.replace(f'RedisStore.from_url("{REDIS}")', store).replace(
            "import RedisStore", f"import {store.partition('(')[0].partition('.')[0]}"
        )
        + COUNT
    )


def test_it_needs_flask_and_msgspec_alone(environment: Environment) -> None:
    assert environment.distributions() == NEEDED


def test_its_readme_runs_in_memory(environment: Environment, tmp_path: Path) -> None:
    assert run(environment, example("MemoryStore()"), tmp_path) == "[1, 2, 3]\n"


@pytest.mark.parametrize(
    ("name", "extra"),
    [("RedisStore", "redis"), ("SqlStore", "sql"), ("ExpressStore", "redis"), ("EncryptedStore", "encryption")],
)
def test_a_store_whose_package_is_missing_names_the_extra(
    environment: Environment, tmp_path: Path, name: str, extra: str
) -> None:
    done = environment.run("python", "-c", f"from flask_shared_sessions import {name}", cwd=tmp_path)
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"ImportError: {name} needs the package ")
    assert f"pip install 'flask-shared-sessions[{extra}]'" in last


def test_it_imports_neither_locks_of_files_nor_drivers_that_are_not_used(
    environment: Environment, tmp_path: Path
) -> None:
    script = (
        "import sys, flask_shared_sessions; print({'fcntl', 'redis', 'hiredis', 'sqlalchemy'} & sys.modules.keys())"
    )
    assert run(environment, script, tmp_path) == "set()\n"


def test_its_types_are_told_to_type_checkers(environment: Environment, tmp_path: Path) -> None:
    script = (
        "from importlib.resources import files; print(files('flask_shared_sessions').joinpath('py.typed').is_file())"
    )
    assert run(environment, script, tmp_path) == "True\n"


def test_its_readme_runs_on_redis_from_the_sdist(library: Distribution, server: Valkey, tmp_path: Path) -> None:
    environment = Environment(tmp_path / "environment")
    environment.install(f"{library.sdist}[redis]")
    assert environment.distributions() == NEEDED | {"redis", "hiredis"}
    assert run(environment, example(f'RedisStore.from_url("{server.url}")'), tmp_path) == "[1, 2, 3]\n"


def test_every_public_name_exists() -> None:
    names = [name for name in dir(nodes.sessions) if not name.startswith("_")]
    assert {"RedisStore", "SqlStore", "FileStore", "Sessions"} <= set(names)
    for name in names:
        assert getattr(nodes.sessions, name) is not None
