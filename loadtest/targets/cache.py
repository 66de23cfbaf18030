"""The cache for packages of applications: in the user's cache, in folders with names made of their lock files.

It imports nothing of the project, because servers of targets start through it.
"""

import hashlib
import os
import sys
from collections.abc import Iterable
from pathlib import Path

PYTHON_LOCK, NODE_LOCK = "requirements.lock", "package-lock.json"


def cache_folder() -> Path:
    """Return the folder of all packages."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "session-cluster"


def python_packages(source: Path) -> Path:
    """Return the folder for the packages of the requirements.lock in `source`, for this version of Python."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return cache_folder() / f"{source.name}-{version}-{digest([source / PYTHON_LOCK])}"


def node_packages(source: Path) -> Path:
    """Return the folder for the packages of the package-lock.json in `source`."""
    return cache_folder() / f"{source.name}-{digest([source / NODE_LOCK])}"


def node_application(source: Path) -> Path:
    """Return the folder for the scripts of an application, beside its packages."""
    return node_packages(source) / f"app-{digest(sorted(source.glob('*.js')))}"


def digest(files: Iterable[Path]) -> str:
    """Return a name for the content of files."""
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]
