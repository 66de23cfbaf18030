"""The suites of Flask and Flask-Login, as they are published, with our sessions in place of Flask's own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.support.lacks import lacks
from tests.support.node import ROOT

CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "session-cluster" / "sdists"
SUITES = {"flask": "3.1.3", "flask-login": "0.6.3"}

ON_PURPOSE = {
    "test_basic.py::test_session_using_samesite_attribute": "SameSite is Lax by default, where Flask sends none",
    "test_basic.py::test_session_refresh_vary": "a page that does not use the session does not refresh its cookie",
    "test_basic.py::test_session_using_session_settings": "a session does not end because its last key was popped:"
    " a concurrent request may have added another one",
    "test_reqctx.py::test_session_dynamic_cookie_name": "replaces methods of Flask's own session interface",
}
WITH_FLASK_LOGIN = {
    "test_login.py::LoginTestCase::test_session_protection_strong_deletes_session": "the session ends, with its data",
}
"""With `flask_login=True` as well."""
ALSO_WITH_FLASKS_OWN = {
    "test_helpers.py::TestStreaming::test_async_view": "needs the extra `async`",
    "test_login.py::LoginTestCase::test_login_required_decorator_with_async": "needs the extra `async`",
    "test_reqctx.py::test_bad_environ_raises_bad_request": "differs with the version of Werkzeug",
}


def find(name: str) -> Path | None:
    """Return the sdist in the cache. Some names are capitalized, and have `_` for `-`."""
    wanted = f"{name}-{SUITES[name]}.tar.gz"
    return next((path for path in CACHE.iterdir() if path.name.lower().replace("_", "-") == wanted), None)


def fetch(name: str) -> Path:
    """Return the sdist, downloaded once. Skips the test where the package index can't be reached."""
    CACHE.mkdir(parents=True, exist_ok=True)
    if (path := find(name)) is not None:
        return path
    python = str(Path(sys.base_prefix) / "bin" / "python3")
    command = [python, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-binary", ":all:"]
    command += ["--no-deps", "--dest", str(CACHE), f"{name}=={SUITES[name]}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    if (path := find(name)) is None:
        lacks(f"the sdist of {name} can't be downloaded: {done.stderr.strip()[-200:]}")
    return path


@pytest.mark.parametrize(("name", "follows"), [("flask", False), ("flask-login", False), ("flask-login", True)])
def test_only_what_differs_on_purpose_fails_in_the_suite(name: str, follows: bool, tmp_path: Path) -> None:
    with tarfile.open(fetch(name)) as sdist:
        sdist.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "COV"))}
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "--tb=short", "-rfE", "-p", "no:cacheprovider"),
            *("-p", "tests.packages.flask.plugin", "--rootdir", ".", "tests"),
        ],
        cwd=source,
        env=inherited
        | {"PYTHONPATH": os.pathsep.join([str(source / "src"), str(ROOT)]), "COLUMNS": "300"}
        | ({"FOLLOW_FLASK_LOGIN": "1"} if follows else {}),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert re.search(r"\d{3} passed", done.stdout), done.stdout[-3000:] + done.stderr[-1000:]
    failed = set(re.findall(r"^(?:FAILED|ERROR) tests/(\S+)", done.stdout, re.MULTILINE))
    on_purpose = ON_PURPOSE if name == "flask" else WITH_FLASK_LOGIN if follows else {}
    assert failed - ALSO_WITH_FLASKS_OWN.keys() == on_purpose.keys(), done.stdout[-6000:]
