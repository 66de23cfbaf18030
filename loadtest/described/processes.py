"""The runtime "processes": members with a start command, which it starts itself or finds by their pid files."""

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from deploy import ClusterError, Member, MemberState, Role
from deploy.files import read_last_lines
from deploy.local.processes import Breakable, ProcessReaper, describe_exit
from deploy.steps import run_all
from deploy.waiting import holds_within
from loadtest.described.description import TargetDescription
from loadtest.described.names import name_members, role_of
from loadtest.described.runtime import SECONDS_TO_STOP, DescribedCluster
from loadtest.described.schema import MemberSpec
from loadtest.faults import Ability

_ORDER = (Role.STORE, Role.SENTINEL, Role.NODE, Role.PROXY)
"""In which members start: each needs those before it."""
_CLOCK = 2.0
"""Seconds by which the time of a file and that of a process may differ."""
_SECONDS_ALIVE = 0.3
"""How long a member without a readiness request must live to count as started."""
_POLL = 0.01


class FoundProcess(Breakable):
    """A process that somebody else started, with its children. Raises ClusterError where it may not be signalled."""

    def __init__(self, process: psutil.Process, popen: "subprocess.Popen[bytes] | None" = None) -> None:
        self.pid = process.pid
        self._process = process
        self._popen = popen
        """Where this process has started it again, and has to reap it."""
        self._tree: list[psutil.Process] = []
        """It and its children, as it was asked to end."""

    def ended(self) -> bool:
        if self._popen is not None and self._popen.poll() is not None:
            return True
        return _has_ended(self._process)

    def paused(self) -> bool:
        with suppress(psutil.NoSuchProcess):
            return str(self._process.status()) == psutil.STATUS_STOPPED
        return False

    def kill(self) -> None:
        """Send SIGKILL; return when all of it has ended."""
        tree = self._signal(signal.SIGSTOP)  # listed while it stands: of a killed parent nobody knows the children
        self._send(signal.SIGKILL, tree)
        holds_within(lambda: self.ended() and all(map(_has_ended, tree)), SECONDS_TO_STOP)
        while not self.ended():
            time.sleep(_POLL)

    def exit_reason(self) -> str:
        status = None if self._popen is None else self._popen.poll()
        return "" if status is None else describe_exit(status)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def terminate(self) -> None:
        self._tree = self._signal(signal.SIGCONT)
        self._send(signal.SIGTERM, self._tree[:1])

    def wait_ended(self, timeout: float) -> None:
        """Return when it has ended, and the children that it had at `terminate`: after `timeout` seconds by SIGKILL."""
        if not holds_within(lambda: self.ended() and all(map(_has_ended, self._tree)), timeout):
            self.kill()
            self._send(signal.SIGKILL, self._tree)
            holds_within(lambda: all(map(_has_ended, self._tree)), SECONDS_TO_STOP)
        self._tree = []

    def _stop(self) -> None:
        self._signal(signal.SIGSTOP)

    def _signal(self, number: int) -> list[psutil.Process]:
        """Send a signal to it and all of its children; return them. After SIGSTOP no process of it is left out: a
        stopped one makes no more of them, and the others are looked for again."""
        if self.ended():
            return []
        sent = [self._process]
        if number == signal.SIGSTOP:
            self._send(number, sent)
        while found := [one for one in self._find_children() if one not in sent]:
            sent += found
            if number != signal.SIGSTOP:
                break
            self._send(number, found)
        if number != signal.SIGSTOP:
            self._send(number, sent)
        return sent

    def _find_children(self) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            return self._process.children(recursive=True)
        return []

    def _send(self, number: int, tree: Sequence[psutil.Process]) -> None:
        """Send a signal to each process; raise ClusterError after all of them if one may not be signalled."""
        refused = 0
        for one in tree:
            try:
                one.send_signal(number)
            except psutil.NoSuchProcess:
                pass
            except psutil.AccessDenied:
                refused = refused or one.pid
        if refused:
            raise ClusterError(f"process {refused} may not be signalled: run this as its user")


def _has_ended(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    return True


class ProcessesCluster(DescribedCluster):
    """Members that are processes of this machine. Those that it starts end with this process, however it ends."""

    def __init__(self, description: TargetDescription) -> None:
        super().__init__(description)
        self._own = name_members({role: list(getattr(self.runtime.roles, role.value)) for role in Role})
        self._processes: dict[str, Breakable] = {}
        self._found: set[str] = set()
        """Members that ran before, and shall run afterwards."""
        self._reaper: ProcessReaper | None = None

    def check(self) -> None:
        for name, own in self._own.items():
            if self._spec(name).start is None and self._spec(name).pid_file is None:
                raise ClusterError(f"{self._where(name)}: {own} has neither start nor pid_file: give it one")
            if self.runtime.setup is None:  # which may make it
                self._find_folder(name)

    def _find_folder(self, name: str) -> Path:
        """Return the folder that a member is started in. Raises ClusterError if it is not there."""
        given = self._spec(name).folder or "."
        folder = self.description.resolve(given)
        if not folder.is_dir():
            where = self.description.where("runtime", "members", self._own[name], "folder")
            raise ClusterError(f"{where}: folder must be a folder that exists, not {given!r}")
        return folder

    def own_names(self) -> Mapping[str, str]:
        return self._own

    def members(self) -> tuple[Member, ...]:
        return tuple(self._describe(name) for name in self._own)

    def log_lines(self, name: str, count: int) -> tuple[str, ...]:
        self._find(name)
        return read_last_lines(self._log(name), count)

    def exit_reason(self, name: str) -> str:
        self._find(name)
        if self._state_of(name) is not MemberState.ENDED:
            return ""
        if self._read_pid_file(name) is not None:
            return "and was started again by something else"
        return self._processes[name].exit_reason() if name in self._processes else ""

    def _start(self) -> None:
        self.check()
        assert self._state is not None
        self._reaper = ProcessReaper(self._state.path, keep=False, lock=self._state.lock)
        for name in self._own:
            if (process := self._read_pid_file(name)) is not None:
                self._processes[name] = process
                self._found.add(name)
            elif self._spec(name).start is None:
                what = "does not run, as its pid file says, and has no start command: start it"
                raise ClusterError(f"{self._where(name)}: {self._own[name]} {what}")
        missing = [name for role in _ORDER for name in self._own if role_of(name) is role]
        missing = [name for name in missing if name not in self._processes]
        if missing:
            self._set_up()
        for name in missing:
            self._launch(name)
            self._wait_started(name)

    def _stop(self) -> None:
        own = [process for name, process in self._processes.items() if name not in self._found]
        steps: list[Callable[[], object]] = [one.terminate for one in reversed(own)]  # the proxy first: it started last
        steps += [partial(one.wait_ended, SECONDS_TO_STOP) for one in own]
        try:
            run_all(steps)
        finally:
            self._processes.clear()
            self._found.clear()
            reaper, self._reaper = self._reaper, None
            if reaper is not None:
                reaper.close()

    def _repair(self) -> None:
        """Repair what was found: the others end in a moment."""
        for name in tuple(self._broken):
            if name not in self._found:
                del self._broken[name]
        super()._repair()

    def _outlives(self, name: str) -> bool:
        return name in self._found

    def _list_own(self) -> dict[str, Any]:
        return {"found": [name for name in self._broken if self._outlives(name)]}

    def _take_over(self, own: Mapping[str, Any]) -> None:
        for name in own["found"]:
            self._found.add(name)
            if (process := self._read_pid_file(name)) is not None:
                self._processes[name] = process

    def _refuse(self, ability: Ability, name: str) -> str:
        if ability is Ability.PAUSE or self._spec(name).start is not None:
            return ""
        return f"{self.show(name)} has no start command, so it could not be started again"

    def _kill(self, name: str) -> None:
        self._process(name).kill()

    def _pause(self, name: str) -> None:
        self._process(name).pause()

    def _resume(self, name: str) -> None:
        self._process(name).resume()

    def _restart(self, name: str) -> None:
        if (process := self._processes.get(name)) is not None:
            process.terminate()
            process.wait_ended(SECONDS_TO_STOP)
        self._launch(name)
        self._wait_started(name)

    def _is_ready(self, name: str) -> bool:
        if self._state_of(name) is MemberState.ENDED:
            return False
        return super()._is_ready(name)

    def _find_end(self, name: str) -> str:
        return "has ended" if self._state_of(name) is MemberState.ENDED else ""

    def _launch(self, name: str) -> None:
        """Start a member: one that was found in a way that lets it run on afterwards."""
        spec, own = self._spec(name), self._own[name]
        assert spec.start is not None, "refused before"
        command = [self.fill(word, member=own) for word in shlex.split(spec.start)]
        folder = self._find_folder(name)
        environment = self.environment(own)
        try:
            if name not in self._found:
                assert self._reaper is not None
                self._processes[name] = self._reaper.start(command, environment, self._log(name), folder)
                return
            with self._log(name).open("ab") as log:
                popen = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=folder,
                    env=environment,
                    start_new_session=True,
                )
            self._processes[name] = FoundProcess(psutil.Process(popen.pid), popen)
        except (OSError, psutil.Error) as error:
            reason = getattr(error, "strerror", None) or str(error)
            at = f": {error.filename}" if isinstance(error, OSError) and error.filename else ""
            raise ClusterError(f"{self._where(name)}: {own} cannot be started: {reason}{at}") from error
        except ClusterError as error:
            raise ClusterError(f"{self._where(name)}: {own}: {error}") from error

    def _wait_started(self, name: str) -> None:
        """Block until a member answers, or raise with the last line of its log. A program that goes into the background
        is found by its pid file."""
        timeout = self.runtime.start_timeout
        lives_from = time.monotonic() + (_SECONDS_ALIVE if self._spec(name).ready is None else 0.0)

        def has_decided() -> bool:
            if self._processes[name].ended() and (found := self._read_pid_file(name)) is not None:
                self._processes[name] = found
                if name not in self._found and self._reaper is not None:
                    with suppress(ProcessLookupError):  # it has ended just now
                        if (group := os.getpgid(found.pid)) != os.getpgrp():
                            self._reaper.adopt(group)
            is_ready = time.monotonic() >= lives_from and self._is_ready(name)
            return is_ready or self._processes[name].ended()

        if not holds_within(has_decided, timeout, _POLL):
            raise self._silent([name], timeout)
        if self._processes[name].ended():
            raise ClusterError(f"{self._where(name)}: {self.show(name)} ended at once: {self._last_line(name)}")

    def _read_pid_file(self, name: str) -> FoundProcess | None:
        """Return the process that a pid file names; None if there is none, or the id went to a younger process."""
        spec = self._spec(name)
        if spec.pid_file is None:
            return None
        path = self.description.resolve(self.fill(spec.pid_file))
        try:
            pid, written = int(path.read_text().split()[0]), path.stat().st_mtime
            process = psutil.Process(pid)
            if pid == os.getpid() or pid <= 1 or process.create_time() > written + _CLOCK:
                return None
            return None if process.status() == psutil.STATUS_ZOMBIE else FoundProcess(process)
        except (OSError, ValueError, IndexError, psutil.Error):
            return None

    def _describe(self, name: str) -> Member:
        own, state = self._own[name], self._state_of(name)
        process = self._processes.get(name)
        pid = process.pid if process is not None and state is not MemberState.ENDED else None
        address = urlsplit(self._spec(name).ready or "").netloc
        log = "" if self._state is None else str(self._log(name))
        return Member(name, role_of(name), address, pid, log, state, "" if own == name else own)

    def _state_of(self, name: str) -> MemberState:
        process = self._processes.get(name)
        if process is None or process.ended():
            return MemberState.ENDED
        return MemberState.PAUSED if process.paused() else MemberState.RUNNING

    def _log(self, name: str) -> Path:
        spec = self._spec(name)
        if spec.log is not None:
            return self.description.resolve(self.fill(spec.log))
        return self.state_folder.parent / "logs" / f"{name}.log"

    def _process(self, name: str) -> Breakable:
        if name not in self._processes:
            raise ClusterError(f"{self.show(name)} does not run: start the target first")
        return self._processes[name]

    def _spec(self, name: str) -> MemberSpec:
        return self.runtime.members.get(self._own[name], MemberSpec())

    def _where(self, name: str) -> str:
        return self.description.where("runtime", "members", self._own[name])
