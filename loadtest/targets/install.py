"""Installing the Express application with npm, once for each state of its lock file."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from deploy import ClusterError

SOURCE = Path(__file__).parent / "express"
_FILES = ("package.json", "package-lock.json", ".npmrc")
_SECONDS = 300


class PeerError(ClusterError):
    """The application can't be installed or run here; one line that says why and what to do."""


def lack_of_node() -> str | None:
    """Why no Express application can be run here, or None."""
    missing = [name for name in ("node", "npm") if shutil.which(name) is None]
    return (
        f"no Express application here: there is no `{missing[0]}` in PATH; install Node.js 20 or later"
        if missing
        else None
    )


def install_express(cache: Path | None = None) -> Path:
    """The folder of the application; `node FOLDER/app.js` runs it. Raises `PeerError`.

    What it depends on is installed once, in `cache` (None: the user's cache folder), under a name that the lock file
    gives it; below that lies each state of the application itself, so that two checkouts are in nobody's way. Nothing
    is written into the source tree.
    """
    if lack := lack_of_node():
        raise PeerError(lack)
    lock = _name_of(SOURCE / "package-lock.json")
    cache = cache or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "session-cluster"
    folder = cache / f"express-{lock}"
    if not (folder / "node_modules").exists():
        _install(cache, folder)
    scripts = sorted(SOURCE.glob("*.js"))
    application = folder / f"app-{_name_of(*scripts)}"
    if not application.exists():
        _copy(scripts, application)
    return application


def locked_version(package: str) -> str:
    """Which version of a package the application is installed with."""
    packages = json.loads((SOURCE / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    return str(packages[f"node_modules/{package}"]["version"])


def _name_of(*files: Path) -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def _copy(scripts: list[Path], application: Path) -> None:
    try:
        with tempfile.TemporaryDirectory(dir=application.parent) as temporary:
            made = Path(temporary) / "app"
            made.mkdir()
            for script in scripts:
                shutil.copy(script, made)
            with suppress(OSError):  # somebody else was faster
                made.rename(application)
    except OSError as error:
        raise PeerError(f"the Express application can't be copied to {application}: {error.strerror}") from error


def _install(cache: Path, folder: Path) -> None:
    """Beside its place and then renamed, so that what is there is whole."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as temporary:
            made = Path(temporary) / "express"
            made.mkdir()
            for name in _FILES:
                shutil.copy(SOURCE / name, made)
            command = ["npm", "ci", "--omit=dev", "--ignore-scripts", "--loglevel=error"]
            done = subprocess.run(command, cwd=made, capture_output=True, text=True, timeout=_SECONDS, check=False)
            if done.returncode != 0:
                reason = next((line for line in done.stderr.splitlines() if "error" in line), "it said nothing")
                raise PeerError(f"npm could not install the Express application: {reason}")
            if not (folder / "node_modules").exists():
                shutil.rmtree(folder, ignore_errors=True)
                made.rename(folder)
    except subprocess.TimeoutExpired:
        raise PeerError(f"npm did not install the Express application within {_SECONDS} s") from None
    except OSError as error:
        raise PeerError(f"the Express application can't be installed in {cache}: {error.strerror}") from error
