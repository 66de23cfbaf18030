"""How a target is broken and repaired: by commands, and as processes that were started or found."""

import http.server
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import psutil
import pytest

from deploy import ClusterError, MemberState, Role
from deploy.local.processes import ProcessReaper
from loadtest import faults
from loadtest.described import commands
from loadtest.described import runtime as runtimes
from loadtest.described.commands import CommandsCluster
from loadtest.described.processes import FoundProcess, ProcessesCluster
from loadtest.described.reachable import answers
from loadtest.described.reaper import ToUndo
from loadtest.described.shell import run_command
from loadtest.faults import Ability, Need
from tests.support.described import write_target
from tests.support.waiting import lives, wait_until

COMMANDS = """
[runtime]
kind = "commands"
timeout = 2.0
roles.node = ["web-0", "web 1"]
roles.store = ["redis"]

[runtime.actions]
kill = "echo kill {member} >> did; echo ended > state-{member}"
pause = "echo pause {member} >> did; echo paused > state-{member}"
resume = "echo resume {member} >> did; echo running > state-{member}"
restart = "echo restart {member} >> did; echo running > state-{member}"
scale = "echo scale {nodes} >> did"
state = "cat state-{member} 2>/dev/null || echo running"
log = "printf 'a\\nb\\nlog of %s\\n' {member}"
"""
SLEEPER = f"{sys.executable} -S -c 'import time; time.sleep(60)'"


@pytest.fixture(autouse=True)
def no_site(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing answers at the address of these targets."""
    monkeypatch.setattr(runtimes, "answers", lambda *_: True)


def did(folder: Path) -> list[str]:
    return (folder / "did").read_text().splitlines() if (folder / "did").exists() else []


def state(cluster: runtimes.DescribedCluster, name: str) -> MemberState:
    return next(one.state for one in cluster.members() if one.name == name)


def test_commands_break_and_repair_a_member_by_its_own_name(tmp_path: Path) -> None:
    with CommandsCluster(write_target(tmp_path, COMMANDS)) as cluster:
        assert [(one.name, one.role, one.own_name) for one in cluster.members()] == [
            ("node-1", Role.NODE, "web-0"), ("node-2", Role.NODE, "web 1"), ("store", Role.STORE, "redis")
        ]  # fmt: skip
        for fault, broken in ((faults.kill("node-2"), MemberState.ENDED), (faults.PAUSE_STORE, MemberState.PAUSED)):
            fault.apply(cluster)
            assert broken in {one.state for one in cluster.members()}
            fault.undo(cluster)
            assert {one.state for one in cluster.members()} == {MemberState.RUNNING}
        assert cluster.log_lines("node-2", 2) == ("b", "log of web 1")
    assert did(tmp_path) == ["kill web 1", "restart web 1", "pause redis", "resume redis"]


def test_what_is_broken_is_repaired_when_everything_ends(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), CommandsCluster(write_target(tmp_path, COMMANDS)) as cluster:
        cluster.pause("store")
        cluster.kill("node-1")
        cluster.scale(4)
        raise KeyboardInterrupt
    assert did(tmp_path)[3:] == ["resume redis", "restart web-0", "scale 2"]


def test_a_command_that_fails_or_hangs_is_one_line_with_its_place(tmp_path: Path) -> None:
    text = COMMANDS.replace("echo kill {member} >> did; echo ended > state-{member}", "echo no such pod >&2; exit 3")
    text = text.replace("echo pause {member} >> did; echo paused > state-{member}", "sleep 60 & sleep 60")
    description = write_target(tmp_path, text.replace("timeout = 2.0", "timeout = 0.2"))
    line = description.path.read_text().splitlines().index('kill = "echo no such pod >&2; exit 3"') + 1
    with CommandsCluster(description) as cluster:
        with pytest.raises(ClusterError) as failed:
            cluster.kill("node-1")
        begin = time.monotonic()
        with pytest.raises(ClusterError) as hung:
            cluster.pause("node-1")
        assert time.monotonic() - begin < 10
    what = f"{description.path}:{line}: runtime.actions.kill for web-0 failed: exit status 3: no such pod"
    assert str(failed.value) == what
    assert str(hung.value).endswith("runtime.actions.pause for web-0 did not end within 0.2 s")


def test_what_a_command_leaves_in_the_background_goes_on_unless_it_hangs(tmp_path: Path) -> None:
    environment = dict(os.environ)
    run_command(f"{SLEEPER} & echo $! > pid", "start", tmp_path, environment, 5.0)
    pid = int((tmp_path / "pid").read_text())
    assert lives(pid)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(ClusterError, match="did not end within"):
        run_command(f"{SLEEPER} & echo $! > pid; wait", "start", tmp_path, environment, 0.5)
    wait_until(lambda: not lives(int((tmp_path / "pid").read_text())), "all of it is killed")


def test_a_runtime_says_what_it_cannot_do(tmp_path: Path) -> None:
    text = "\n".join(line for line in COMMANDS.splitlines() if not line.startswith(("scale", "resume")))
    cluster = CommandsCluster(write_target(tmp_path, text))
    assert cluster.refuse(Need(Ability.SCALE)) == "the runtime commands has no action scale"
    assert cluster.refuse(Need(Ability.PAUSE, Role.NODE)) == "the runtime commands has no action resume"
    assert cluster.refuse(Need(Ability.KILL, "node-3")) == "it needs node-3, and runtime.roles.node gives 2"
    assert cluster.refuse(Need(Ability.KILL, "node-2")) == ""
    assert cluster.refuse(Need(Ability.STORE_PROXY)) == "the file has no runtime.store_proxy before the store"
    with pytest.raises(ClusterError, match="cannot pause node-1: the runtime commands has no action resume"):
        cluster.pause("node-1")


def alone(tmp_path: Path, restart: str, more: str = "", setup: str = "true") -> CommandsCluster:
    """Return one member that is ready while the file "up" is there."""
    text = f"""
[runtime]
kind = "commands"
roles.node = ["web"]
setup = "{setup}"
[runtime.actions]
kill = "true"
restart = "{restart}"
ready = "test -e up"
{more}
"""
    return CommandsCluster(write_target(tmp_path, text))


NO_PORT = "sh -c 'echo no port >&2' &"
STATE = 'state = "cat state || echo running; touch seen"'  # read first: it ends as soon as it was seen to run
UNTIL_SEEN = "for n in $(seq 500); do test -e seen && break; sleep 0.02; done"
ENDS = f"echo running > state; rm -f seen; ({UNTIL_SEEN}; echo no port; echo ended > state) &"
BOTH = f'{STATE}\nlog = "echo no port"'


@pytest.mark.parametrize(("restart", "more"), [(NO_PORT, ""), (ENDS, STATE), (ENDS, BOTH)])
def test_a_member_that_ends_after_its_restart_is_said_long_before_the_timeout(
    tmp_path: Path, restart: str, more: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "_SECONDS_GONE", 60.0 if more else 0.2)  # the state, or the background, tells
    monkeypatch.setattr(commands, "_SECONDS_KNOWN", 0.0)
    (tmp_path / "up").touch()
    with alone(tmp_path, restart, more) as cluster:
        (tmp_path / "up").unlink()
        begin = time.monotonic()
        with pytest.raises(ClusterError) as error:
            cluster.restart("node-1")
        assert time.monotonic() - begin < 20, "it is 60 s until the timeout"
        (tmp_path / "up").touch()
    assert str(error.value) == "node-1 (web) has ended: no port"


def test_a_setup_whose_servers_have_ended_is_said_with_what_they_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "_SECONDS_GONE", 0.2)
    with pytest.raises(ClusterError, match=r"^node-1 \(web\) has ended: .*no-such-server: not found$"):
        alone(tmp_path, "true", setup="no-such-server &").start()


def test_members_that_come_up_after_their_setup_are_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where what the setup put into the background has ended, as a daemon's starter does."""
    monkeypatch.setattr(commands, "_SECONDS_KNOWN", 0.0)
    looks = 'state = "test -e up && echo running || echo ended"'
    with alone(tmp_path, "true", looks, setup="(sleep 0.2; touch up) &") as cluster:
        assert state(cluster, "node-1") is MemberState.RUNNING


def test_a_state_that_is_none_is_said(tmp_path: Path) -> None:
    text = COMMANDS.replace("cat state-{member} 2>/dev/null || echo running", "echo Terminating")
    with pytest.raises(ClusterError, match="state must print running, paused, ended, not 'terminating'"):
        CommandsCluster(write_target(tmp_path, text)).start()


PROCESSES = f"""
[runtime]
kind = "processes"
setup = "echo up > {{state}}/made; echo set up >> did"
roles.node = ["web-a", "web-b"]

[runtime.members.web-a]
start = "{SLEEPER}"

[runtime.members.web-b]
start = "{SLEEPER}"
pid_file = "web-b.pid"
"""


def test_a_folder_with_a_space_in_its_name_is_one_word(tmp_path: Path) -> None:
    folder = tmp_path / "my shop"
    folder.mkdir()
    (folder / "run.sh").write_text('echo "$1" > "$1/seen"; exec sleep 60')
    text = PROCESSES.replace("{state}/made", "{folder}/made").replace(SLEEPER, "sh {folder}/run.sh {folder}")
    with ProcessesCluster(write_target(folder, text)):
        assert (folder / "made").read_text() == "up\n"
        wait_until((folder / "seen").exists)
    assert (folder / "seen").read_text() == f"{folder}\n"


@pytest.fixture
def found(tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """web-b as it ran before, with its pid file."""
    process = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
    (tmp_path / "web-b.pid").write_text(f"{process.pid}\n")
    yield process
    process.kill()
    process.wait()


def pids(cluster: runtimes.DescribedCluster) -> dict[str, int | None]:
    return {one.name: one.pid for one in cluster.members()}


def test_what_was_started_ends_and_what_was_found_runs_on_and_repaired(
    tmp_path: Path, found: "subprocess.Popen[bytes]"
) -> None:
    with ProcessesCluster(write_target(tmp_path, PROCESSES)) as cluster:
        assert pids(cluster)["node-2"] == found.pid
        started = pids(cluster)["node-1"]
        assert started is not None
        assert (cluster.state_folder / "made").read_text() == "up\n"
        faults.pause("node-2").apply(cluster)
        assert state(cluster, "node-2") is MemberState.PAUSED
        assert psutil.Process(found.pid).status() == psutil.STATUS_STOPPED
    assert psutil.Process(found.pid).status() != psutil.STATUS_STOPPED, "it is resumed"
    assert not lives(started)
    assert did(tmp_path) == ["set up"]


def test_a_found_member_that_was_killed_is_started_again_and_left_running(
    tmp_path: Path, found: "subprocess.Popen[bytes]"
) -> None:
    with ProcessesCluster(write_target(tmp_path, PROCESSES)) as cluster:
        cluster.kill("node-2")
        found.wait(timeout=5)
        assert state(cluster, "node-2") is MemberState.ENDED
        cluster.restart("node-2")
        again = pids(cluster)["node-2"]
    assert again is not None
    assert lives(again), "it was found running, so it is left running"
    os.kill(again, signal.SIGKILL)


def test_a_started_member_is_killed_with_its_children_and_restarted(tmp_path: Path) -> None:
    parent = f'{sys.executable} -S -c \'import subprocess, sys; subprocess.run([sys.executable, \\"-S\\", \\"-c\\", '
    parent += '\\"import time; time.sleep(60)\\"])\''
    text = PROCESSES.replace(SLEEPER, parent, 1)
    with ProcessesCluster(write_target(tmp_path, text)) as cluster:
        pid = pids(cluster)["node-1"]
        assert pid is not None
        (child,) = wait_until(lambda: psutil.Process(pid).children(), "it has a child")
        faults.kill("node-1").apply(cluster)
        assert not lives(pid, child.pid)
        assert state(cluster, "node-1") is MemberState.ENDED
        faults.kill("node-1").undo(cluster)
        assert pids(cluster)["node-1"] not in {None, pid}


def test_a_program_that_goes_into_the_background_is_found_by_its_pid_file_and_ends_too(tmp_path: Path) -> None:
    script = tmp_path / "daemon.sh"
    (tmp_path / "run.sh").write_text(f"echo $$ > web-b.pid\nexec {SLEEPER}\n")
    script.write_text("rm -f web-b.pid; setsid sh run.sh & while [ ! -s web-b.pid ]; do sleep 0.01; done\n")
    head, _, tail = PROCESSES.rpartition(f'start = "{SLEEPER}"')
    with ProcessesCluster(write_target(tmp_path, f'{head}start = "sh daemon.sh"{tail}')) as cluster:
        first = pids(cluster)["node-2"]
        assert first == int((tmp_path / "web-b.pid").read_text())
        faults.kill("node-2").apply(cluster)
        assert state(cluster, "node-2") is MemberState.ENDED
        faults.kill("node-2").undo(cluster)
        second = pids(cluster)["node-2"]
        assert second not in {None, first}
    assert second is not None
    assert not lives(second)


@pytest.fixture
def family() -> Iterator[FoundProcess]:
    """A shell with a child, and a shell that has one."""
    script = "sleep 60 & sh -c 'sleep 60 & wait' & wait"
    popen = subprocess.Popen(["/bin/sh", "-c", script], start_new_session=True)
    yield FoundProcess(psutil.Process(popen.pid))
    with suppress(ProcessLookupError):
        os.killpg(popen.pid, signal.SIGKILL)
    popen.wait()


def children(process: FoundProcess) -> list[psutil.Process]:
    parent = psutil.Process(process.pid)
    return wait_until(lambda: tree if len(tree := parent.children(recursive=True)) == 3 else None, "all are there")


@pytest.mark.parametrize("paused", [True, False])
def test_a_found_process_is_killed_with_all_of_its_children(family: FoundProcess, paused: bool) -> None:
    tree = children(family)
    if paused:
        family.pause()
    family.kill()
    assert not lives(family.pid, *(one.pid for one in tree))


def test_children_that_a_found_process_leaves_at_its_end_are_killed(family: FoundProcess) -> None:
    tree = children(family)
    family.terminate()  # the shell does not pass it on
    family.wait_ended(0.05)
    assert not lives(family.pid, *(one.pid for one in tree))


def test_a_process_that_may_not_be_signalled_is_said_after_the_others_got_the_signal(
    family: FoundProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree, send = children(family), psutil.Process.send_signal

    def refuse_first(process: psutil.Process, number: int) -> None:
        if process == tree[0]:
            raise psutil.AccessDenied(process.pid)
        send(process, number)

    monkeypatch.setattr(psutil.Process, "send_signal", refuse_first)
    with pytest.raises(ClusterError, match=f"process {tree[0].pid} may not be signalled"):
        family.pause()
    wait_until(lambda: {one.status() for one in tree[1:]} == {psutil.STATUS_STOPPED})


def test_a_daemon_that_ends_just_as_it_is_found_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run.sh").write_text("echo $$ > web-b.pid\nexec sleep 60\n")
    (tmp_path / "daemon.sh").write_text("setsid sh run.sh & while [ ! -s web-b.pid ]; do sleep 0.01; done\n")
    head, _, tail = PROCESSES.rpartition(f'start = "{SLEEPER}"')

    def end(pid: int) -> int:
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not lives(pid))
        raise ProcessLookupError

    monkeypatch.setattr(os, "getpgid", end)
    with pytest.raises(ClusterError, match=r"node-2 \(web-b\) ended at once"):
        ProcessesCluster(write_target(tmp_path, f'{head}start = "sh daemon.sh"{tail}')).start()


def test_one_member_that_cannot_be_ended_keeps_no_other_one(tmp_path: Path) -> None:
    calls: list[str] = []

    class Member(FoundProcess):
        def __init__(self, name: str) -> None:
            self.name = name

        def terminate(self) -> None:
            calls.append(f"terminate {self.name}")
            if self.name == "node-2":  # the first one that is asked to end
                raise ClusterError("it may not be signalled")

        def wait_ended(self, timeout: float) -> None:
            calls.append(f"wait for {self.name}")
            raise ClusterError("it did not end")

    cluster = ProcessesCluster(write_target(tmp_path, PROCESSES))
    cluster._processes.update({name: Member(name) for name in ("node-1", "node-2")})
    cluster._reaper = ProcessReaper.__new__(ProcessReaper)
    cluster._reaper.close = lambda: calls.append("close the reaper")  # type: ignore[method-assign]
    with pytest.raises(ClusterError, match=r"^it may not be signalled$"):
        cluster._stop()
    assert calls == [
        *("terminate node-2", "terminate node-1", "wait for node-1", "wait for node-2", "close the reaper")
    ]


def test_a_pid_file_of_a_process_that_is_gone_finds_no_younger_one(tmp_path: Path) -> None:
    (tmp_path / "web-b.pid").write_text(f"{os.getppid()}\n")
    os.utime(tmp_path / "web-b.pid", (0, 0))  # long before that process began
    with ProcessesCluster(write_target(tmp_path, PROCESSES)) as cluster:
        assert pids(cluster)["node-2"] not in {None, os.getppid()}


def test_a_member_that_could_not_be_started_again_is_not_killed(
    tmp_path: Path, found: "subprocess.Popen[bytes]"
) -> None:
    head, _, tail = PROCESSES.rpartition(f'start = "{SLEEPER}"\n')
    with ProcessesCluster(write_target(tmp_path, head + tail)) as cluster:
        why = "node-2 (web-b) has no start command, so it could not be started again"
        assert cluster.refuse(Need(Ability.KILL, "node-2")) == why
        assert cluster.refuse(Need(Ability.PAUSE, "node-2")) == ""
        with pytest.raises(ClusterError, match="has no start command"):
            cluster.kill("node-2")
        assert found.poll() is None


def test_a_member_that_ends_while_the_others_start_is_said_at_once_with_its_last_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtimes, "answers", lambda *_: False)
    short = "sh -c 'sleep 0.5; echo out of memory; echo; exit 1'"
    description = write_target(tmp_path, PROCESSES.replace(SLEEPER, short, 1))
    begin = time.monotonic()
    with pytest.raises(ClusterError, match=r"^node-1 \(web-a\) has ended: out of memory$"):
        ProcessesCluster(description).start()
    assert time.monotonic() - begin < 20, "start_timeout is 60 s"


def test_how_a_member_ended_is_known_of_those_that_were_started(
    tmp_path: Path, found: "subprocess.Popen[bytes]"
) -> None:
    short = "sh -c 'until test -e end; do sleep 0.05; done; exit 3'"
    with ProcessesCluster(write_target(tmp_path, PROCESSES.replace(SLEEPER, short, 1))) as cluster:
        assert cluster.exit_reason("node-1") == cluster.exit_reason("node-2") == ""
        (tmp_path / "end").touch()
        wait_until(lambda: state(cluster, "node-1") is MemberState.ENDED)
        assert cluster.exit_reason("node-1") == "exit status 3"
        found.kill()
        found.wait()
        assert (state(cluster, "node-2"), cluster.exit_reason("node-2")) == (MemberState.ENDED, "")
        again = subprocess.Popen(["sleep", "60"])
        (tmp_path / "web-b.pid").write_text(f"{again.pid}\n")
        try:
            assert cluster.exit_reason("node-2") == "and was started again by something else"
        finally:
            again.kill()
            again.wait()


class NotFound(http.server.BaseHTTPRequestHandler):
    """Answers every GET with 404."""

    def do_GET(self) -> None:
        self.send_error(404)


@pytest.fixture
def page() -> Iterator[int]:
    """The port of a server that has no page."""
    server = http.server.HTTPServer(("127.0.0.1", 0), NotFound)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("http://127.0.0.1:PORT/helthy", "it answers with status 404"),
        ("https://127.0.0.1:PORT/", "it does not answer by https"),
        ("tcp://127.0.0.1:9", "nothing listens there"),
    ],
)
def test_a_member_that_is_not_ready_in_time_is_said_with_its_line_and_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: int, address: str, why: str
) -> None:
    monkeypatch.setattr(runtimes, "answers", answers)
    address = address.replace("PORT", str(page))
    start = f'start = "{SLEEPER}"\nready = "{address}"'
    text = PROCESSES.replace(f'start = "{SLEEPER}"', start, 1).replace("[runtime]", "[runtime]\nstart_timeout = 0.5", 1)
    description = write_target(tmp_path, text)
    with pytest.raises(ClusterError) as error:
        ProcessesCluster(description).start()
    place = description.where("runtime", "members", "web-a", "ready")
    assert str(error.value) == f"{place}: node-1 (web-a) did not answer within 0.5 s: {address}: {why}"


def test_a_member_that_ends_at_once_is_said_with_its_last_line(tmp_path: Path) -> None:
    text = PROCESSES.replace(SLEEPER, "sh -c 'echo no such module >&2; exit 1'")
    description = write_target(tmp_path, text)
    with pytest.raises(ClusterError, match=r"shop\.toml:\d+: node-1 \(web-a\) ended at once: no such module"):
        ProcessesCluster(description).start()


@pytest.mark.parametrize(
    ("key", "what"),
    [
        ('folder = "nowhere"', "folder must be a folder that exists, not 'nowhere'"),
        ('log = "nowhere/web.log"', "web-a cannot be started: No such file or directory: "),
        (f'environment.LONG = "{"x" * 200_000}"', "web-a: cannot start sh: Argument list too long"),
    ],
)
def test_a_member_that_cannot_be_started_is_said_with_its_line_and_the_cause(
    tmp_path: Path, key: str, what: str
) -> None:
    description = write_target(tmp_path, PROCESSES.replace(f'start = "{SLEEPER}"', f'start = "sh"\n{key}', 1))
    with pytest.raises(ClusterError) as error:
        ProcessesCluster(description).start()
    place, _, told = str(error.value).partition(": ")
    assert re.fullmatch(r".*shop\.toml:\d+", place)
    assert told.startswith(what)


def test_a_folder_that_is_not_there_is_said_before_the_others_start(tmp_path: Path) -> None:
    text = PROCESSES.replace(f'start = "{SLEEPER}"', f'start = "{SLEEPER}"\nfolder = "nowhere"', 1)
    made = text.replace("echo set up", "mkdir nowhere; echo set up")
    alone = "\n".join(line for line in text.splitlines() if not line.startswith("setup"))
    with pytest.raises(ClusterError, match="folder must be a folder that exists, not 'nowhere'"):
        ProcessesCluster(write_target(tmp_path, alone)).check()
    cluster = ProcessesCluster(write_target(tmp_path, made))
    cluster.check()
    with cluster:
        assert state(cluster, "node-1") is MemberState.RUNNING


def test_another_process_takes_over_what_a_killed_command_has_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    description = write_target(tmp_path, COMMANDS)
    killed = CommandsCluster(description)
    noted: list[ToUndo | None] = []
    monkeypatch.setattr(killed._target_reaper, "note", noted.append)
    killed.start()
    killed.pause("node-1")
    killed.resume("node-1")
    assert noted[-1] is None, "nothing is left"
    killed.kill("node-1")
    killed.pause("store")
    killed.scale(4)
    assert noted[-1] is not None
    left = msgspec.json.decode(msgspec.json.encode(noted[-1]), type=ToUndo)
    assert (left.broken, left.scaled_from) == (("node-1", "store"), 2)
    killed._state.close()  # as the end of its process does
    other = CommandsCluster(description)
    other.take_over(left)
    other.stop()
    assert did(tmp_path)[-3:] == ["resume redis", "restart web-0", "scale 2"]
    assert not Path(left.state).exists()
