"""Which groups of tests this machine can run: the others are skipped with the reason, or fail under REQUIRE_ALL=1."""

import os
import shutil
import subprocess
from collections.abc import Callable
from functools import cache

import pytest

from tests.sessions.sql_servers import mysql, postgres  # noqa: F401 - fixtures: one server of each kind for all tests


@cache
def lack_of_docker() -> str | None:
    """Why no containers can be started here, or None."""
    if shutil.which("docker") is None:
        return "no Docker: there is no `docker` in PATH"
    for command, otherwise in (
        (["docker", "info"], "the Docker engine does not answer"),
        (["docker", "compose", "version"], "Docker has no compose plugin"),
    ):
        try:
            subprocess.run(command, capture_output=True, check=True, timeout=30)
        except (subprocess.SubprocessError, OSError):
            return otherwise
    return None


def lack_of_browser() -> str | None:
    """Why no page can be looked at here, or None."""
    if os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser"):
        return None
    return "no Chromium: install the package `chromium`, or name the binary in CHROMIUM"


def lack_of_node() -> str | None:
    """Why no Express application can be run here, or None."""
    missing = [name for name in ("node", "npm") if shutil.which(name) is None]
    return f"no Node.js: there is no `{missing[0]}` in PATH" if missing else None


NEEDS: dict[str, Callable[[], str | None]] = {
    "docker": lack_of_docker,
    "browser": lack_of_browser,
    "node": lack_of_node,
}


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker, lack in NEEDS.items():
        if item.get_closest_marker(marker) and (reason := lack()):
            if os.environ.get("REQUIRE_ALL") == "1":
                pytest.fail(f"REQUIRE_ALL=1, but {reason}", pytrace=False)
            pytest.skip(reason)
