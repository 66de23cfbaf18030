"""Distributions as others get them: built from a copy of their sources, installed into empty environments."""

import json
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

from tests.support.lacks import lacks
from tests.support.node import ROOT

PIP_TIMEOUT = 300
_BUILD = """
import sys
from setuptools import build_meta
out = sys.argv[1]  # which a build replaces
build_meta.build_sdist(out)
build_meta.build_wheel(out)
"""
_IGNORED = shutil.ignore_patterns("__pycache__", ".*", "build", "*.egg-info", "results", "state", "node_modules")


@dataclass(frozen=True)
class Distribution:
    """The files of one project."""

    sdist: Path
    wheel: Path


def build(source: str, folder: Path) -> Distribution:
    """Build the project in a folder of this checkout."""
    copy, out = folder / "source", folder / "dist"
    shutil.copytree(ROOT / source, copy, ignore=_IGNORED)
    command = [sys.executable, "-c", _BUILD, str(out)]
    subprocess.run(command, cwd=copy, check=True, capture_output=True, timeout=120)
    (sdist,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    return Distribution(sdist, wheel)


class Environment:
    """An empty virtual environment. pip runs outside of it, so nothing but what was asked for is in it."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, with_pip=False, symlinks=True)
        self.bin = folder / "bin"
        self._pip = [str(Path(sys.base_prefix) / "bin" / "python3"), "-m", "pip", "--python", str(self.bin / "python")]

    def install(self, requirement: str) -> None:
        """Install it with what it needs. Skips the test where the package index cannot be reached."""
        command = [*self._pip, "install", "--quiet", "--disable-pip-version-check", requirement]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_TIMEOUT, check=False)
        if done.returncode and "connection" in done.stderr.lower():
            lacks("the package index cannot be reached")
        assert done.returncode == 0, done.stderr

    def distributions(self) -> set[str]:
        """Return the names of what is installed."""
        command = [*self._pip, "list", "--format", "json", "--disable-pip-version-check"]
        listed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        return {each["name"].lower() for each in json.loads(listed.stdout)}

    def run(self, *arguments: str, cwd: Path, timeout: float = 60, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment, outside of the checkout."""
        path = f"{self.bin}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
        return subprocess.run(
            [str(self.bin / arguments[0]), *arguments[1:]],
            cwd=cwd,
            env={"PATH": path, "HOME": str(cwd), **environ},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
