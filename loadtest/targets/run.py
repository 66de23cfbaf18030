"""`python -m loadtest.targets.run PROGRAM ARGUMENT...`: become a server of a described target.

A file of a target starts its members so, in the folder of the application. PATH then has this Python and the nginx and
the valkey-server that come as wheels; packages of a requirements.lock or package-lock.json in the folder are installed
once, in the user's cache. Any other application needs nothing of this: its file has its own commands.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy import ClusterError
from deploy.local.redis_server import RedisBinary
from loadtest.targets.install import LOCK, install_express, install_python
from proxy import Nginx, NginxError


def make_environment(folder: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a program in this folder. Raises ClusterError and NginxError."""
    programs = (Path(sys.executable), RedisBinary().path, Nginx().binary)
    path = [*(str(program.parent) for program in programs), environment.get("PATH", os.defpath)]
    found = {**environment, "PATH": os.pathsep.join(path)}
    if (folder / LOCK).exists():
        packages = [str(install_python(folder)), environment.get("PYTHONPATH", "")]
        found["PYTHONPATH"] = os.pathsep.join(filter(None, packages))
    return found


def main(command: Sequence[str]) -> None:
    """Replace this process by the program."""
    if not command:
        sys.exit("usage: python -m loadtest.targets.run PROGRAM ARGUMENT...")
    folder = Path.cwd()
    try:
        environment = make_environment(folder, os.environ)
        if (folder / "package-lock.json").exists():
            os.chdir(install_express())  # its packages are beside the copy of the application there
    except (ClusterError, NginxError) as error:
        sys.exit(str(error))
    try:
        os.execvpe(command[0], list(command), environment)  # noqa: S606  # as a shell does
    except OSError as error:
        sys.exit(f"cannot run {command[0]}: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
