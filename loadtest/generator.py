"""The load generator: `locust` as a subprocess with loadtest/locustfile.py, started, steered and stopped from here.

Imports neither Locust nor gevent, which patch the whole process.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from pkgutil import resolve_name
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import msgspec

if TYPE_CHECKING:
    from loadtest.http import Adapter
    from loadtest.target import Target

ROOT = Path(__file__).resolve().parent.parent
LOCUSTFILE = ROOT / "loadtest" / "locustfile.py"
SETTINGS_VARIABLE = "SESSION_LOAD_SETTINGS"
REASON = "load generator: "
"""What a line of Locust's log begins with that says why it ends; others may follow from other processes."""

IN_FLIGHT_TIMEOUT = 5
"""Seconds that requests in flight may take to end, so that the last figures are no artefact of stopping."""
STOP_TIMEOUT = 30.0
_POLL = 0.02


class GeneratorError(Exception):
    """The load generator did not start, ended early or did not stop; the message is one line."""


class ProfileError(ValueError):
    """A load profile with a value out of range; the message is one line."""


class Mix(StrEnum):
    """What the virtual users do."""

    EVERYDAY = "everyday"  # visitors, shoppers and leavers as 6:3:1, each with a session of its own
    SHARED_WRITERS = "shared writers"  # browsers whose five tabs write to one session at the same time
    LOGOUT_RACE = "logout race"  # browsers that log out in one tab while five write to the session


class LoadProfile(msgspec.Struct, frozen=True, kw_only=True):
    """How much load, and of which kind.

    `spawn_rate` users start per second. A user waits `wait` seconds (from, to) between two requests. `weights` replaces
    those of the mix's users by name ({"Visitor": 1}; the others do not come). With more than one of `processes`,
    Locust's users run in that many. `web` is the port of Locust's own page on 127.0.0.1. After `time_limit` seconds the
    generator ends by itself, with an error.
    """

    users: int
    spawn_rate: float
    wait: tuple[float, float]
    mix: Mix = Mix.EVERYDAY
    weights: dict[str, int] = {}
    processes: int = 1
    web: int | None = None
    time_limit: float = 3600.0

    def __post_init__(self) -> None:
        low, high = self.wait
        if not 0 <= low <= high <= 3600:
            raise ProfileError(f"wait must be two ascending numbers between 0 and 3600 s, not {low:g} {high:g}")
        if not 1 <= self.processes <= self.users:
            raise ProfileError(
                f"processes must be between 1 and the number of users ({self.users}), not {self.processes}"
            )


MIXES = {mix.value.replace(" ", "-"): mix for mix in Mix}
EVERYDAY = {"visitor": "Visitor", "shopper": "Shopper", "leaver": "Leaver"}
"""The users of Mix.EVERYDAY, by the name on the command line, and by that of their class."""


def parse_mix(text: str) -> tuple[Mix, dict[str, int]]:
    """Parse "shared-writers", "everyday" or "visitor=3,leaver=1". Return the mix, and weights by class of user.

    Raises ProfileError.
    """
    if text in MIXES:
        return MIXES[text], {}
    weights = {}
    for part in text.split(","):
        name, _, weight = part.strip().partition("=")
        if name not in EVERYDAY or not weight.isdecimal():
            wanted = f"{', '.join(MIXES)}, or weights such as {'=6,'.join(EVERYDAY)}=1"
            raise ProfileError(f"mix must be {wanted}, not {text!r}")
        weights[EVERYDAY[name]] = int(weight)
    if not any(weights.values()):
        raise ProfileError(f"mix must have a weight above 0, not {text!r}")
    return Mix.EVERYDAY, weights


class GeneratorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the processes of Locust are told by the file that SESSION_LOAD_SETTINGS names.

    `adapter` is the import path of the adapter's class, `adapter_fields` are its values. `parent` is the process that
    started Locust: Locust ends when that is gone.
    """

    profile: LoadProfile
    accounts: dict[str, str]
    session_cookie: str
    authority: str | None
    insecure: bool
    adapter: str
    adapter_fields: dict[str, Any]
    folder: str
    parent: int

    @classmethod
    def take(cls, path: str) -> Self:
        """Read the file and remove it: it holds passwords."""
        file = Path(path)
        settings = msgspec.json.decode(file.read_bytes(), type=cls)
        file.unlink()
        return settings

    def make_adapter(self) -> "Adapter":
        """Return the target's adapter."""
        adapter: Adapter = msgspec.convert(self.adapter_fields, resolve_name(self.adapter))
        return adapter

    def wanted_users(self) -> int:
        """Return how many users there should be at this moment."""
        return int(wanted_users_file(Path(self.folder)).read_text())


def wanted_users_file(folder: Path) -> Path:
    """Return the path of the file with the wanted number of users."""
    return folder / "wanted-users"


def part_file(folder: Path | str, process: int) -> Path:
    """Return the path of the part of the history that a process (from 0) writes."""
    return Path(folder) / f"part-{process + 1}.jsonl"


class Generator:
    """Virtual users on a target, in processes of Locust that never outlive this one.

    Each process writes its part of the history into `folder`; Locust's log is there, too. Leaving it as a context
    manager kills what has not been stopped.
    """

    def __init__(self, profile: LoadProfile, target: "Target", folder: Path) -> None:
        self._profile, self._target, self._folder = profile, target, folder.resolve()
        self._log = self._folder / "locust.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def parts(self) -> tuple[Path, ...]:
        """The files that the processes write their operations to; they exist once Locust has started."""
        return tuple(part_file(self._folder, number) for number in range(self._profile.processes))

    @property
    def pid(self) -> int:
        """The first process of Locust. Raises GeneratorError before `start`."""
        return self._running().pid

    def start(self) -> None:
        """Start Locust, and return at once: users come some seconds later. Raises GeneratorError."""
        settings = self._folder / ".generator.json"
        try:
            for part in self.parts:
                part.unlink(missing_ok=True)
            self.set_users(self._profile.users)
            _write_private(settings, msgspec.json.encode(self._settings()))
            with self._log.open("wb") as log:
                self._process = subprocess.Popen(
                    self._command(),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                    cwd=self._folder,  # no locust.conf of the user's
                    env=self._environment(settings),
                    # Its own session: Ctrl-C at the terminal is for the command, which ends the others in order.
                    start_new_session=True,
                )
        except OSError as error:
            raise GeneratorError(f"the load generator cannot write into {self._folder}: {error.strerror}") from error

    def set_users(self, users: int) -> None:
        """Change the wanted number of users. They come and go at the spawn rate, from within a second on."""
        file = wanted_users_file(self._folder)
        new = file.with_suffix(".new")
        new.write_text(str(users))
        new.replace(file)

    def check(self) -> None:
        """Raise GeneratorError if Locust has ended."""
        code = self._running().poll()
        if code is not None:
            raise GeneratorError(f"the load generator ended early (exit {code}): {self._reason()}")

    def stop(self) -> None:
        """End the users and all processes: every part is complete then.

        Requests in flight have 5 s to end; those that do not are recorded as STOPPED. Raises GeneratorError if Locust
        has ended before, does not end, or a virtual user failed.
        """
        self.check()
        process = self._running()
        # Locust handles SIGTERM only where it has a page, and where it has one, SIGINT leaves the page open.
        process.send_signal(signal.SIGINT if self._profile.web is None else signal.SIGTERM)
        try:
            code = process.wait(STOP_TIMEOUT)
            self._wait_for_workers()
        except TimeoutError:
            raise GeneratorError(f"the load generator did not stop within {STOP_TIMEOUT:g} s") from None
        except subprocess.TimeoutExpired:
            raise GeneratorError(f"the load generator did not stop within {STOP_TIMEOUT:g} s") from None
        finally:
            self.kill()
        if code:
            raise GeneratorError(f"the load generator failed (exit {code}): {self._reason()}")

    def kill(self) -> None:
        """Kill every process of Locust that is left."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        for name in (".generator.json", "wanted-users"):
            (self._folder / name).unlink(missing_ok=True)

    def _settings(self) -> GeneratorSettings:
        target, adapter = self._target, type(self._target.adapter)
        return GeneratorSettings(
            profile=self._profile,
            accounts=dict(target.users),
            session_cookie=target.session_cookie,
            authority=None if target.authority is None else str(target.authority.resolve()),
            insecure=target.insecure,
            adapter=f"{adapter.__module__}:{adapter.__qualname__}",
            adapter_fields=msgspec.to_builtins(target.adapter),
            folder=str(self._folder),
            parent=os.getpid(),
        )

    def _command(self) -> list[str]:
        command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--host", self._target.url]
        command += ["--stop-timeout", str(IN_FLIGHT_TIMEOUT), "--loglevel", "WARNING", "--only-summary"]
        command += ["--exit-code-on-error", "0"]  # a failed request is a result, and no failure of the generator
        if self._profile.processes > 1:
            from deploy.ports import free_ports  # Locust's own processes need nothing of it

            (port,) = map(str, free_ports(1))
            command += ["--processes", str(self._profile.processes)]
            command += ["--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--master-port", port]
        if self._profile.web is None:
            return [*command, "--headless"]
        return [*command, "--autostart", "--web-host", "127.0.0.1", "--web-port", str(self._profile.web)]

    def _environment(self, settings: Path) -> Mapping[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("LOCUST_")}
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        return {**inherited, "PYTHONPATH": path, SETTINGS_VARIABLE: str(settings)}

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise GeneratorError("the load generator has not been started")
        return self._process

    def _wait_for_workers(self) -> None:
        deadline = time.monotonic() + STOP_TIMEOUT
        with contextlib.suppress(ProcessLookupError):
            while time.monotonic() < deadline:
                os.killpg(self._running().pid, 0)
                time.sleep(_POLL)
            raise TimeoutError

    def _reason(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        reasons = [line.removeprefix(REASON) for line in lines if line.startswith(REASON)]
        return (reasons or lines or ["it logged nothing"])[-1]


def _write_private(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    path.touch(mode=0o600, exist_ok=False)
    path.write_bytes(content)
