"""The load generator: Locust as a subprocess with loadtest/locustfile.py, started, steered and stopped from here.

Imports neither Locust nor gevent, which patch the whole process.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import msgspec
import psutil

from deploy.files import check_writable, write_atomically
from deploy.local.processes import python_path
from deploy.ports import free_ports
from deploy.waiting import holds_within
from loadtest.described.schema import NAMES
from loadtest.history import Action
from loadtest.load_profile import (
    REASON,
    SETTINGS_VARIABLE,
    WANTED_ARRIVALS,
    WANTED_USERS,
    Arrivals,
    GeneratorSettings,
    LoadProfile,
    Mix,
    part_file,
)
from loadtest.operations import printable
from loadtest.target import Target

LOCUSTFILE = Path(__file__).resolve().with_name("locustfile.py")
SETTINGS, LOG = ".generator.json", "locust.log"

IN_FLIGHT_TIMEOUT = 5
"""Seconds for requests in flight to end, so that stopping does not distort the last figures."""
NEEDED = {
    Mix.LOGOUT_RACE: frozenset({Action.LOGOUT}),
    Mix.SHARED_WRITERS: frozenset({Action.VISIT, Action.ADD}),
}
"""The operations of which a target must have one for a mix."""
START_TIMEOUT, STOP_TIMEOUT = 30.0, 30.0
_STARTS = 3
"""Attempts, each on another port, to start several processes."""


class GeneratorError(Exception):
    """The load generator did not start, ended early or did not stop; the message is one line."""


class Generator:
    """Virtual users on a target, in processes of Locust that end with this one.

    Each process writes its part of the history into `folder`, which also has Locust's log. Leaving it as a context
    manager kills processes that have not been stopped.
    """

    def __init__(self, profile: LoadProfile, target: Target, folder: Path) -> None:
        self._profile, self._target, self._folder = profile, target, folder.resolve()
        self._log = self._folder / LOG
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = False

    @property
    def parts(self) -> tuple[Path, ...]:
        """The files that the processes write their operations to; they exist once Locust has started."""
        return tuple(part_file(self._folder, number) for number in range(self._profile.processes))

    @property
    def pid(self) -> int:
        """The id of its first process."""
        return self._running().pid

    def start(self) -> None:
        """Start Locust; users come some seconds later. Several processes are started when the first one listens for the
        others. Raises GeneratorError."""
        if self._profile.mix is Mix.TABS and self._profile.users > len(self._target.users):
            what = f"an account for each of its {self._profile.users} users"
            raise GeneratorError(f"the target must have {what} with the mix tabs, not {len(self._target.users)}")
        needed = NEEDED.get(self._profile.mix, frozenset())
        if needed and not needed & self._target.adapter.actions:
            requests = " or ".join(sorted(NAMES[action] for action in needed))
            raise GeneratorError(f"the mix {self._profile.mix} needs a target with a request {requests}")
        for _ in range(_STARTS):
            (port,) = free_ports(1)
            self._launch(port)
            if self._profile.processes == 1 or self._comes_to_listen(port) or "already in use" not in self._reason():
                return
            self.kill()  # another program took the port in the second that Locust needs to load

    def _launch(self, port: int) -> None:
        settings = self._folder / SETTINGS
        try:
            for part in self.parts:
                part.unlink(missing_ok=True)
            self.set_users(self._profile.users)
            write_atomically(settings, msgspec.json.encode(self._settings()))
            with self._log.open("wb") as log:
                self._process = subprocess.Popen(
                    self._command(port),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                    cwd=self._folder,  # a locust.conf of the user must not apply
                    env=self._environment(settings),
                    # Ctrl-C at the terminal is for the command, which stops the others in order.
                    start_new_session=True,
                )
                self._ended = False
        except OSError as error:
            raise GeneratorError(f"the load generator cannot write into {self._folder}: {error.strerror}") from error

    def _comes_to_listen(self, port: int) -> bool:
        """Block until the first process listens on `port`, and return True; return False if it ends instead."""
        process = psutil.Process(self._running().pid)

        def has_decided() -> bool:
            with contextlib.suppress(psutil.Error):  # it has just ended
                listening = [one for one in process.net_connections("tcp") if one.status == psutil.CONN_LISTEN]
                return any(one.laddr.port == port for one in listening) or self._running().poll() is not None
            return True

        holds_within(has_decided, START_TIMEOUT)
        return self._running().poll() is None

    def set_users(self, users: int) -> None:
        """Set the number of users. Locust starts or stops them at the spawn rate, beginning within a second."""
        write_atomically(self._folder / WANTED_USERS, str(users))

    def set_arrivals(self, arrivals: Arrivals) -> None:
        """Set the arrivals beside the users; they change within a tenth of a second."""
        write_atomically(self._folder / WANTED_ARRIVALS, msgspec.json.encode(arrivals))

    def check(self) -> None:
        """Raise GeneratorError if Locust has ended, or OSError if its folder cannot be written any more."""
        code = self._running().poll()
        if code is not None:
            raise GeneratorError(f"the load generator ended early (exit {code}): {self._reason()}")

    def stop(self) -> None:
        """Stop the users and all processes; every part of the history is complete then.

        Requests in flight have 5 s to end; those that do not are recorded as STOPPED. Raises GeneratorError if Locust
        has ended before, does not end, or a virtual user failed.
        """
        self.check()
        process = self._running()
        # With its web page Locust does not end on SIGINT, and without it not on SIGTERM.
        process.send_signal(signal.SIGINT if self._profile.web is None else signal.SIGTERM)
        has_stopped = holds_within(self._is_gone, STOP_TIMEOUT)
        self.kill()
        if not has_stopped:
            raise GeneratorError(f"the load generator did not stop within {STOP_TIMEOUT:g} s")
        if process.returncode:
            raise GeneratorError(f"the load generator failed (exit {process.returncode}): {self._reason()}")

    def kill(self) -> None:
        """Kill every process of Locust that is left."""
        if self._process is not None and not self._ended:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._ended = True  # from now on the id of its process group may belong to another program

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()
        for name in (SETTINGS, WANTED_USERS, WANTED_ARRIVALS):
            (self._folder / name).unlink(missing_ok=True)

    def _settings(self) -> GeneratorSettings:
        target = self._target
        return GeneratorSettings(
            profile=self._profile,
            accounts=dict(target.users),
            session_cookie=target.session_cookie,
            authority=None if target.authority is None else str(target.authority.resolve()),
            insecure=target.insecure,
            adapter=target.adapter,
            folder=str(self._folder),
            parent=os.getpid(),
        )

    def _command(self, port: int) -> list[str]:
        command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--host", self._target.url]
        command += ["--stop-timeout", str(IN_FLIGHT_TIMEOUT), "--loglevel", "WARNING", "--only-summary"]
        command += ["--exit-code-on-error", "0"]  # a failed request is a result, not a failure of the generator
        if self._profile.processes > 1:
            command += ["--processes", str(self._profile.processes), "--master-bind-host", "127.0.0.1"]
            command += ["--master-bind-port", str(port), "--master-port", str(port)]
        if self._profile.web is None:
            return [*command, "--headless"]
        return [*command, "--autostart", "--web-host", "127.0.0.1", "--web-port", str(self._profile.web)]

    def _environment(self, settings: Path) -> Mapping[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("LOCUST_")}
        path = os.pathsep.join(filter(None, (*python_path(), os.environ.get("PYTHONPATH"))))
        return {**inherited, "PYTHONPATH": path, SETTINGS_VARIABLE: str(settings)}

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise GeneratorError("the load generator has not been started")
        return self._process

    def _is_gone(self) -> bool:
        """Return True when every process has ended; the first one ends before its workers."""
        if self._running().poll() is None:
            return False
        try:
            os.killpg(self._running().pid, 0)
        except ProcessLookupError:
            return True
        return False

    def _reason(self) -> str:
        """Return why it ended. Raises OSError where its folder, and so neither history nor log, can be written."""
        check_writable(self._log)
        lines = self._log.read_text(errors="replace").strip().splitlines()
        reasons = [line.removeprefix(REASON) for line in lines if line.startswith(REASON)]
        return printable((reasons[:1] or lines[-1:] or ["it logged nothing"])[0])
