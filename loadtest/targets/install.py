"""Installing the packages of applications, with npm and pip, once for each state of their lock file."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from deploy import ClusterError
from loadtest.targets.cache import NODE_LOCK, PYTHON_LOCK, node_application, node_packages, python_packages

SOURCE = Path(__file__).parent / "express"
_FILES = ("package.json", NODE_LOCK, ".npmrc")
_SECONDS = 300
_PIP = (
    "install",
    "--quiet",
    "--disable-pip-version-check",
    "--root-user-action=ignore",
    "--no-deps",
    "--require-hashes",
)
_COMMAND = ("npm", "ci", "--omit=dev", "--ignore-scripts", "--loglevel=error")


class InstallError(ClusterError):
    """An application cannot be installed or run here; the message is one line with cause and fix."""


def install_express() -> Path:
    """Return the folder of the application; `node FOLDER/app.js` runs it. Raises InstallError.

    Its packages are installed once, in the user's cache folder, under a name made of the lock file; below that lies
    each state of the application itself, so that two checkouts do not disturb each other. Nothing is written into the
    source tree.
    """
    if not (SOURCE / NODE_LOCK).exists():
        raise InstallError("the Express application is in the checkout, not in the package")
    packages, application = install_packages(SOURCE, "Express"), node_application(SOURCE)
    try:
        if not application.exists():
            with _new_folder(application, sorted(SOURCE.glob("*.js"))):
                pass
    except OSError as error:
        raise InstallError(f"Express cannot be installed in {packages}: {error.strerror}") from error
    return application


def install_packages(source: Path, what: str) -> Path:
    """Return a folder whose node_modules has the packages of the lock file in `source`. `what` is for messages.

    The folder is in the user's cache, under a name made of the lock file. Raises InstallError.
    """
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise InstallError(f"{what} cannot run here: `{program}` is not in PATH; install Node.js 20 or later")
    packages = node_packages(source)
    try:
        if not (packages / "node_modules").exists():
            with _new_folder(packages, [source / name for name in _FILES]) as folder:
                _npm(folder, what)
    except OSError as error:
        raise InstallError(f"{what} cannot be installed in {packages.parent}: {error.strerror}") from error
    return packages


def install_python(source: Path) -> Path:
    """Return a folder for PYTHONPATH with the packages of the requirements.lock in `source`. Raises InstallError.

    The folder is in the user's cache, under a name made of the lock file and the version of this Python.
    """
    packages = python_packages(source)
    try:
        if not packages.exists():
            with _new_folder(packages, [source / PYTHON_LOCK]) as folder:
                _pip(folder, source.name)
    except OSError as error:
        raise InstallError(f"{source.name} cannot be installed in {packages.parent}: {error.strerror}") from error
    return packages


def locked_version(package: str) -> str:
    """Return the version of a package that the application is installed with."""
    packages = json.loads((SOURCE / NODE_LOCK).read_text(encoding="utf-8"))["packages"]
    return str(packages[f"node_modules/{package}"]["version"])


@contextmanager
def _new_folder(path: Path, files: Iterable[Path]) -> Iterator[Path]:
    """Make a folder beside its place, for the block to complete, and rename it then: it is complete as soon as it
    exists. If another process was faster, its folder stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as temporary:
        draft = Path(temporary) / path.name
        draft.mkdir()
        for file in files:
            shutil.copy(file, draft)
        yield draft
        with suppress(OSError):
            draft.rename(path)
    if not path.exists():
        raise OSError(None, "the folder could not be renamed")


def _npm(folder: Path, what: str) -> None:
    _run(_COMMAND, "npm", what, folder)


def _pip(folder: Path, what: str) -> None:
    """Install with the pip of this environment, or else of the Python that it was made with."""
    here = sys.executable
    base = str(getattr(sys, "_base_executable", here))
    for python in (here, base):
        if subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0:
            command = (python, "-m", "pip", "--python", here, *_PIP, "--target", str(folder), "-r", PYTHON_LOCK)
            _run(command, "pip", what, folder)
            return
    raise InstallError(f"{what} cannot be installed: {base} has no pip; install it, for example python3-pip")


def _run(command: Sequence[str], program: str, what: str, folder: Path) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise InstallError(f"{program} did not install {what} within {_SECONDS} s") from None
    if done.returncode != 0:
        reason = next((line for line in done.stderr.splitlines() if "error" in line.lower()), "it logged nothing")
        raise InstallError(f"{program} could not install {what}: {reason}")
