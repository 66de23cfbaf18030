"""The load generator: real Locust, on a server whose faults are known, so that its history can be checked."""

import errno
import os
import socket
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psutil
import pytest
from msgspec.structs import replace

from deploy.ports import free_ports
from loadtest.checker import Findings, Kind, check
from loadtest.described.interface import http_interface
from loadtest.described.schema import Reading, RequestSpec
from loadtest.generator import Generator, GeneratorError
from loadtest.history import GAVE_UP, STOPPED, VERSION, Action, End, Event, Header, Note, Op, OpOutcome
from loadtest.load_profile import LoadProfile, Mix, ProfileError
from loadtest.target import RunningTarget
from tests.support.node import ROOT
from tests.support.stand_in import ACCOUNTS, StandIn, serving, target
from tests.support.waiting import child_with, lives, wait_until

USERS = 12
STARVED = 6.0
"""Seconds: more than the 3 heartbeats that Locust waits for by itself."""
decode = msgspec.json.Decoder(Event).decode


def profile(**changes: object) -> LoadProfile:
    usual: dict[str, object] = {"users": USERS, "spawn_rate": 100.0, "wait": (0.01, 0.05)}
    return msgspec.convert({**usual, **changes}, LoadProfile)


class Load:
    """A generator at work, and what it has written so far."""

    def __init__(self, generator: Generator) -> None:
        self.generator = generator

    @property
    def events(self) -> list[Event]:
        files = [part.read_bytes() for part in self.generator.parts if part.exists()]
        return [decode(line) for lines in files for line in lines[: lines.rfind(b"\n") + 1].splitlines()]

    @property
    def ops(self) -> list[Op]:
        return [event for event in self.events if isinstance(event, Op)]

    @property
    def users(self) -> float:
        newest = {note.text: note.figures["users"] for note in self.events if isinstance(note, Note)}
        return sum(newest.values())

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        def reached() -> bool:
            self.generator.check()
            return condition()

        wait_until(reached, what)

    def wait_for_requests(self, count: int) -> None:
        self.wait_for(lambda: len(self.ops) >= count, f"{count} requests")

    def findings(self) -> Findings:
        return check([Header(version=VERSION, title="load", started=0.0), *self.events])


def processes(parent: int | None = None) -> list[psutil.Process]:
    """Return the first process of Locust that this process, or another one, has started, and its workers."""
    first = child_with("locust", parent)
    return [first, *first.children()]


@contextmanager
def load(folder: Path, at: RunningTarget | str, **changes: object) -> Iterator[Load]:
    with Generator(profile(**changes), target(at) if isinstance(at, str) else at, folder) as generator:
        generator.start()
        yield Load(generator)


def history(
    folder: Path,
    behaviour: StandIn,
    requests: int = 600,
    host: str = "127.0.0.1",
    kinds: Iterable[Kind] = (),
    **changes: object,
) -> Load:
    """Return the load when it has ended, after about that many requests, or up to 16 times as many to find `kinds`."""
    with serving(behaviour) as url, load(folder, url.replace("127.0.0.1", host), **changes) as running:
        for enough in (requests, 4 * requests, 16 * requests):
            running.wait_for_requests(enough)
            if set(kinds) <= set(running.findings().total.found):
                break
        running.generator.stop()
    return running


# ---- what it writes down


@pytest.mark.parametrize(
    ("mix", "users", "host"),
    [
        (Mix.EVERYDAY, USERS, "localhost"),  # a name without a dot has rules of its own for cookies
        (Mix.SHARED_WRITERS, 3, "127.0.0.1"),
        (Mix.LOGOUT_RACE, 3, "127.0.0.1"),
    ],
)
def test_a_correct_server_loses_nothing(tmp_path: Path, mix: Mix, users: int, host: str) -> None:
    findings = history(tmp_path, StandIn(), mix=mix, users=users, host=host).findings()
    assert findings.examples == {}
    assert findings.complete
    assert findings.total.failed == 0
    assert findings.total.as_logged_in > 50


@pytest.mark.parametrize("memories", [2, 3])
def test_nodes_with_separate_memories_lose_the_predicted_share_of_sessions(tmp_path: Path, memories: int) -> None:
    written = history(tmp_path, StandIn(memories=memories), 1500)
    total, theory = written.findings().total, (memories - 1) / memories
    assert total.share_logged_out == pytest.approx(theory, abs=4 * (theory * (1 - theory) / 600) ** 0.5)
    assert total.failed == 0
    assert len(total.nodes) == memories
    logins = sum(op.action is Action.LOGIN for op in written.ops)
    assert logins >= sum(bool(op.found) for op in written.ops) > 0, "a user that is logged out logs in again at once"


@pytest.mark.parametrize(
    ("behaviour", "mix", "kinds"),
    [
        (StandIn(failed_visits=True), Mix.EVERYDAY, set()),
        (StandIn(crossing=True), Mix.EVERYDAY, {Kind.CROSSED}),
        (StandIn(forgetful_cart=True), Mix.EVERYDAY, {Kind.UPDATE_LOST}),
        (StandIn(forgetful_cart=True), Mix.SHARED_WRITERS, {Kind.UPDATE_LOST}),
        (StandIn(revived=True), Mix.EVERYDAY, {Kind.REVIVED}),
        (StandIn(revived=True), Mix.LOGOUT_RACE, {Kind.REVIVED}),
        (StandIn(misdirects=True, lag=0.02), Mix.TABS, {Kind.MISDIRECTED, Kind.SESSION_LOST}),
        (StandIn(keeps_others=True), Mix.TABS, {Kind.REVIVED}),
        (StandIn(keeps_password=True), Mix.TABS, {Kind.PASSWORD_UNDONE}),
    ],
)
def test_a_fault_of_the_server_is_found(tmp_path: Path, behaviour: StandIn, mix: Mix, kinds: set[Kind]) -> None:
    users = USERS if mix is Mix.EVERYDAY else 3
    findings = history(tmp_path, behaviour, mix=mix, users=users, kinds=kinds).findings()
    found = set(findings.total.found)
    assert kinds <= found
    assert found == kinds or behaviour.crossing or behaviour.misdirects, "they are many things at once"
    if behaviour.keeps_password:
        return  # then the user does not know the password
    failures = {"POST /visits: status 502": findings.total.unknown} if behaviour.failed_visits else {}
    assert findings.total.failures == failures


def test_every_operation_is_recorded_with_its_outcome(tmp_path: Path) -> None:
    written = history(tmp_path, StandIn())
    assert {op.action for op in written.ops} == {*Action} - {Action.LIST, Action.END_OTHERS, Action.PASSWORD}
    assert len({op.who for op in written.ops}) == USERS
    assert all(op.started <= op.ended and op.session.rpartition("#")[0] == op.who for op in written.ops)
    looks = [op for op in written.ops if op.action is Action.LOOK and op.expected_user]
    assert looks
    for op in looks:
        assert (op.outcome, op.user, op.node, op.upstream_status, op.status) == (
            *(OpOutcome.OK, op.expected_user, "node-1", "200", 200),
        )
    notes = [event for event in written.events if isinstance(event, Note)]
    assert {note.text for note in notes} == {"generator 1"}
    assert all(0 <= note.figures["generator_cpu"] < 1.5 for note in notes)


@pytest.mark.parametrize("password", ["wrong", ACCOUNTS["alice"]])
def test_sessions_without_the_named_cookie_prove_nothing(tmp_path: Path, password: str) -> None:
    with serving(StandIn()) as url:
        unknown = target(url, session_cookie="nocookie", users={"alice": password})
        with load(tmp_path, unknown) as running:
            running.wait_for(lambda: len(running.ops) >= 300, "300 requests")
            running.generator.stop()
    findings = running.findings()
    assert findings.examples == {}
    expected = "status 401" if password == "wrong" else "the login set no cookie 'nocookie'"
    assert set(findings.total.failures) == {f"POST /login: {expected}"}


def test_a_server_that_is_not_there_fails_every_request(tmp_path: Path) -> None:
    with serving(StandIn()) as url:
        pass
    with load(tmp_path, url) as running:
        running.wait_for(lambda: len(running.ops) > 0, "a request")
        running.generator.stop()
    assert {(op.outcome, op.error) for op in running.ops} == {(OpOutcome.FAIL, "no answer: ConnectionRefusedError")}


@pytest.mark.parametrize(("delay", "outcomes"), [(1.0, {OpOutcome.OK}), (8.0, {OpOutcome.UNKNOWN})])
def test_requests_in_flight_have_five_seconds_when_the_load_stops(
    tmp_path: Path, delay: float, outcomes: set[OpOutcome]
) -> None:
    with serving(behaviour := StandIn(delay=delay)) as url, load(tmp_path, url, users=3) as running:
        running.wait_for(lambda: behaviour.requests == 3, "three requests")
        running.generator.stop()
    assert {op.outcome for op in running.ops} == outcomes
    assert {op.error for op in running.ops} == ({""} if outcomes == {OpOutcome.OK} else {STOPPED})
    assert running.findings().total.failed == 0, "they are not the server's failures"


def test_users_with_tabs_do_what_browsers_do(tmp_path: Path) -> None:
    behaviour = StandIn(lag=0.005)

    def is_like_browsers(ops: Sequence[Op]) -> bool:
        again = [op for op in ops if op.action is Action.LOGIN and op.held and op.brought]
        return (
            {op.action for op in ops} == {*Action} - {Action.LOGOUT}
            and any(op.error == GAVE_UP for op in ops)
            and any(
                op.session == login.session
                and op.who != login.who
                and op.started < login.ended
                and op.ended > login.started
                for op in ops
                for login in again
            )
        )

    with serving(behaviour) as url, load(tmp_path, url, mix=Mix.TABS, users=3) as written:
        written.wait_for(lambda: is_like_browsers(written.ops), "tabs with requests in flight while one logs in again")
        written.generator.stop()
    findings = written.findings()
    assert (findings.examples, findings.total.users) == ({}, 3)
    assert behaviour.passwords == ACCOUNTS, "they are changed back"


def test_each_user_with_tabs_needs_an_account(tmp_path: Path) -> None:
    with pytest.raises(GeneratorError, match="an account for each of its 4 users with the mix tabs, not 3"):
        Generator(profile(mix=Mix.TABS, users=4), target("http://127.0.0.1:9"), tmp_path).start()


# ---- its processes


def test_several_processes_share_the_users(tmp_path: Path) -> None:
    with serving(StandIn()) as url, load(tmp_path, url, processes=3) as running:
        running.wait_for(lambda: running.users == USERS, "all users")
        assert len(processes()) == 4
        running.wait_for(lambda: len(running.ops) > 300, "300 requests")
        running.generator.stop()
    assert len({op.who for op in running.ops}) == USERS
    assert {op.account for op in running.ops} == set(ACCOUNTS)
    parts = [part.read_bytes().splitlines() for part in running.generator.parts]
    assert len(parts) == 3
    assert all(isinstance(decode(part[-1]), End) for part in parts)
    assert running.findings().examples == {}


@pytest.mark.parametrize("processes", [1, 2])
def test_the_number_of_users_changes_while_it_runs(tmp_path: Path, processes: int) -> None:
    with serving(StandIn()) as url, load(tmp_path, url, users=4, processes=processes) as running:
        for wanted in (4, 10, 2):
            running.generator.set_users(wanted)
            running.wait_for(lambda wanted=wanted: running.users == wanted, f"{wanted} users")  # type: ignore[misc]
        running.generator.stop()
    assert len({op.who for op in running.ops}) == 10
    assert running.findings().examples == {}


@pytest.mark.parametrize("processes", [1, 2])
def test_locusts_page_is_served_and_weights_choose_the_users(tmp_path: Path, processes: int) -> None:
    (port,) = free_ports(1)
    settings = {"web": port, "processes": processes, "weights": {"Visitor": 1}}
    with serving(StandIn()) as url, load(tmp_path, url, **settings) as running:
        running.wait_for(lambda: len(running.ops) > 200, "200 requests")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as page:
            assert b"Locust" in page.read()
        running.generator.stop()
    assert {op.path for op in running.ops} == {"/login", "/me", "/visits", "/account"}
    assert running.findings().complete


def test_only_their_owner_may_read_the_settings_with_passwords(tmp_path: Path) -> None:
    with serving(StandIn()) as url, load(tmp_path, url):
        assert stat.S_IMODE((tmp_path / ".generator.json").stat().st_mode) == 0o600


def test_passwords_are_in_no_argument_list_and_no_file_that_stays(tmp_path: Path) -> None:
    with serving(StandIn()) as url, load(tmp_path, url, processes=2) as running:
        running.wait_for(lambda: len(running.ops) > 0, "a request")
        told = [" ".join([*one.cmdline(), *one.environ().values()]) for one in processes()]
        running.generator.stop()
    files = [path for path in tmp_path.iterdir() if path.is_file()]
    assert {path.name for path in files} == {"part-1.jsonl", "part-2.jsonl", "locust.log"}
    assert not any(ACCOUNTS["alice"] in text for text in [*told, *(path.read_text() for path in files)])


# ---- how it ends


def test_locust_ends_when_the_process_that_started_it_is_killed(tmp_path: Path) -> None:
    starter = (
        "import sys, time; from pathlib import Path; from tests.cluster.loadtest.test_generator_on_stand_ins import *\n"
        "generator = Generator(profile(processes=2), target(sys.argv[1]), Path(sys.argv[2]))\n"
        "generator.start(); print('started', flush=True); time.sleep(99)"
    )
    with serving(StandIn()) as url:
        command = [sys.executable, "-c", starter, url, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as parent:
            assert parent.stdout is not None
            assert parent.stdout.readline() == "started\n"
            wait_until(lambda: len(processes(parent.pid)) == 3, "its workers")
            everyone = processes(parent.pid)
            parent.kill()
        wait_until(lambda: not lives(*(process.pid for process in everyone)), "all of Locust to be gone")


@pytest.mark.parametrize(
    ("number", "reason"), [(0, r"ended early \(exit -9\)"), (1, "1 of 2 worker processes ended early")]
)
def test_a_locust_process_that_dies_is_reported_in_one_line(tmp_path: Path, number: int, reason: str) -> None:
    with serving(StandIn()) as url, load(tmp_path, url, processes=2) as running:
        running.wait_for(lambda: len(running.ops) > 100, "100 requests")
        everyone = processes()
        everyone[number].kill()
        with pytest.raises(GeneratorError, match=reason):
            running.wait_for(lambda: False, "an error")
        wait_until(lambda: not lives(*(process.pid for process in everyone)), "all of Locust to be gone")
        assert len(running.ops) > 100, "what was written until then can be read"


@pytest.mark.parametrize("number", [1, 2])
def test_processes_that_cannot_write_the_history_end(tmp_path: Path, number: int) -> None:
    with serving(StandIn()) as url, load(tmp_path, url, processes=number) as running:
        running.wait_for(lambda: len(running.ops) > 100, "100 requests")
        for process in processes():
            process.rlimit(psutil.RLIMIT_FSIZE, (0, 0))  # as a full disk: no byte of the log is written either
        with pytest.raises(GeneratorError, match=r"ended early \(exit 1\): it logged nothing"):
            running.wait_for(lambda: False, "an error")


def test_a_full_disk_is_the_reason_of_processes_that_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def find_no_space(_: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("loadtest.generator.check_writable", find_no_space)
    with serving(StandIn()) as url, load(tmp_path, url) as running:
        processes()[0].kill()
        with pytest.raises(OSError, match="No space left on device"):
            running.wait_for(lambda: False, "an error")


def test_several_processes_get_another_port_if_theirs_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, serving(StandIn()) as url:
        ports = iter([taken.getsockname()[1], *free_ports(1)])
        monkeypatch.setattr("loadtest.generator.free_ports", lambda _: [next(ports)])
        with load(tmp_path, url, processes=2) as running:
            running.wait_for(lambda: len(running.ops) > 10, "10 requests")
    assert list(ports) == []


@pytest.mark.parametrize("processes", [1, 2])
def test_a_virtual_user_that_fails_is_reported_in_one_line(tmp_path: Path, processes: int) -> None:
    interface = http_interface()
    count = RequestSpec("/visits", method="POST", json={}, counter=Reading(regex="("))  # which no file may have
    adapter = replace(interface, requests=replace(interface.requests, count=count))
    with serving(StandIn()) as url:
        failing = RunningTarget(url=url, users=ACCOUNTS, adapter=adapter)
        with load(tmp_path, failing, processes=processes) as running:
            with pytest.raises(GeneratorError, match=r"a virtual user failed, .*: missing \), unterminated"):
                running.wait_for(lambda: False, "an error")


def test_workers_that_get_no_time_for_some_seconds_go_on_afterwards(tmp_path: Path) -> None:
    with serving(StandIn()) as url, load(tmp_path, url, processes=2) as running:
        running.wait_for_requests(20)
        _, *workers = processes()
        for worker in workers:
            worker.suspend()
        begin = time.monotonic()
        running.wait_for(lambda: time.monotonic() > begin + STARVED, "the pause")
        for worker in workers:
            worker.resume()
        running.wait_for_requests(len(running.ops) + 200)
        running.generator.stop()


def test_leaving_the_generator_with_an_error_kills_locust(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), serving(StandIn()) as url, load(tmp_path, url):
        (process,) = processes()
        raise RuntimeError("a fault that cannot be applied, for example")
    assert not psutil.pid_exists(process.pid)


def test_a_folder_that_cannot_be_written_is_reported_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(GeneratorError, match=r"cannot write into .*nowhere: No such file or directory"):
        Generator(profile(), target("http://127.0.0.1:9"), tmp_path / "nowhere").start()


@pytest.mark.parametrize("changes", [{"wait": (2.0, 1.0)}, {"processes": 13}, {"processes": 0}])
def test_a_profile_out_of_range_is_refused(changes: dict[str, object]) -> None:
    name = next(iter(changes))
    with pytest.raises(ProfileError, match=f"^{name} must be .*, not "):
        LoadProfile(**{"users": USERS, "spawn_rate": 1.0, "wait": (0.0, 0.0), **changes})  # type: ignore[arg-type]
