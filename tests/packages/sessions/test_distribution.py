"""The session library as a distribution of its own: what its users install, and the first example of its README."""

import subprocess
import sys
from pathlib import Path
from typing import Any

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
    done = environment.run("python", "-c", script, cwd=folder, APP_SECRET="x" * 32)
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
    [
        ("RedisStore", "redis"),
        ("SqlStore", "sql"),
        ("ExpressStore", "redis"),
        ("EncryptedStore", "encryption"),
        ("FlaskSessionRedis", "redis"),
        ("FlaskSessionSql", "sql"),
    ],
)
def test_a_store_whose_package_is_missing_names_the_extra(
    environment: Environment, tmp_path: Path, name: str, extra: str
) -> None:
    call = f"flask_shared_sessions.{name}(None)" if name.startswith("Flask") else f"flask_shared_sessions.{name}"
    done = environment.run("python", "-c", f"import flask_shared_sessions; {call}", cwd=tmp_path)
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


ANNOTATED = """
from datetime import datetime
from typing import Any, assert_type

from flask import Flask, session
from flask.sessions import SessionMixin
from flask_shared_sessions import MemoryStore, SameSite, Session, SessionData, SessionOptions, Sessions, current_session

app = Flask(__name__)
options = SessionOptions(same_site="Lax", secure=True, proxy="trust", priority="High", session_limit="end oldest")
sessions = Sessions(app, store=MemoryStore(), options=options)
assert_type(options.same_site, SameSite)

@app.post("/visits")
def visits() -> dict[str, Any]:
    assert_type(current_session, Session)
    assert_type(current_session.owner, str | None)
    assert_type(current_session.auth_age(), float | None)
    assert_type(current_session.expires, datetime | None)
    current_session.max_age = 60
    current_session.renew("alice", keep=False, confirm=lambda: None)
    sessions.end_all("alice", keep=current_session)
    session["a"] = 1
    return {"visits": current_session.mutate("visits", lambda n: n + 1, default=0)}

def test(data: SessionMixin) -> None:
    assert_type(Session.of(data).exists, bool)
    assert_type(Session.of(session).key_hash, str | None)

def refused() -> None:
    current_session.ownr
    current_session.owner = "alice"
    current_session["a"]
    session.mutate("visits", lambda n: n + 1)
    SessionOptions(same_site="loose")
    SessionOptions(same_site=SameSite.STRICT, secure=1)
"""
REFUSED = """\
view.py:31: error: "Session" has no attribute "ownr"; maybe "owner"?  [attr-defined]
view.py:32: error: Property "owner" defined in "Session" is read-only  [misc]
view.py:33: error: Value of type "Session" is not indexable  [index]
view.py:34: error: "SessionMixin" has no attribute "mutate"  [attr-defined]
view.py:35: error: Argument "same_site" to "SessionOptions" has incompatible type "Literal['loose']"; \
expected "Literal['Lax', 'Strict', 'None', 'auto', True] | SameSite"  [arg-type]
view.py:36: error: Argument "secure" to "SessionOptions" has incompatible type "Literal[1]"; \
expected "Literal['auto', 'on', 'off'] | Secure | bool"  [arg-type]
Found 6 errors in 1 file (checked 1 source file)
"""


def test_mypy_knows_the_types_of_the_current_session(environment: Environment, tmp_path: Path) -> None:
    (tmp_path / "view.py").write_text(ANNOTATED)
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(environment.bin / "python")]
    done = subprocess.run([*command, "view.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == REFUSED


def test_its_readme_runs_on_redis_from_the_sdist(library: Distribution, server: Valkey, tmp_path: Path) -> None:
    environment = Environment(tmp_path / "environment")
    environment.install(f"{library.sdist}[redis]")
    assert environment.distributions() == NEEDED | {"redis", "hiredis"}
    assert run(environment, example(f'RedisStore.from_url("{server.url}")'), tmp_path) == "[1, 2, 3]\n"


EVERYTHING = """
from flask import session
from flask_shared_sessions import *
print(type(session).__name__, MemoryStore.__name__, FileStore.__name__, "RedisStore" in globals())
"""


def test_a_star_imports_what_is_installed_and_keeps_the_session_of_flask(
    environment: Environment, tmp_path: Path
) -> None:
    assert run(environment, EVERYTHING, tmp_path) == "LocalProxy MemoryStore FileStore False\n"


def test_every_public_name_exists() -> None:
    names: dict[str, Any] = {}
    exec("from nodes.sessions import *", names)
    assert {"RedisStore", "SqlStore", "FileStore", "EncryptedStore", "Sessions", "current_session"} <= names.keys()
    assert "session" not in names
    assert names.keys() - {"__builtins__"} == set(nodes.sessions.__all__) <= set(dir(nodes.sessions))
