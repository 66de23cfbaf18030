"""The load generator's process on a server whose faults are known, so that its figures can be checked."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from loadtest import Figures, Generator, GeneratorError
from loadtest.protocol import Entered, Ready, Start, decode_report, encode
from tests.support.stand_in import ACCOUNTS, StandIn, serving


def start(url: str, **changes: object) -> Start:
    settings = {"users": 20, "spawn_rate": 100, "phase": "first", "wait": (0.01, 0.05), "time_limit": 60.0}
    return Start(url=url, **{"accounts": ACCOUNTS, **settings, **changes})  # type: ignore[arg-type]


def until(condition: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for: {what}"
        time.sleep(0.02)


def load(behaviour: StandIn, requests: int = 600, host: str = "127.0.0.1") -> Figures:
    """The figures of about that many requests."""
    with Generator() as generator, serving(behaviour) as url:
        generator.start(start(url.replace("127.0.0.1", host)))

        def enough() -> bool:
            generator.check()
            return generator.progress is not None and generator.progress.figures.requests >= requests

        until(enough, f"{requests} requests")
        (figures,) = generator.stop()
    return figures


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_correct_server_loses_nothing(host: str) -> None:
    """A name without a dot, like that of a container, has rules of its own for cookies."""
    figures = load(StandIn(), host=host)
    assert figures.wrong == figures.failed == 0
    assert figures.users == 20
    assert figures.as_logged_in > figures.requests / 2
    assert 0 <= figures.p50 <= figures.p99 > 0
    assert figures.seconds > 0


@pytest.mark.parametrize("memories", [2, 3])
def test_nodes_with_memories_of_their_own_lose_what_theory_says(memories: int) -> None:
    figures = load(StandIn(memories=memories), 1500)
    theory = (memories - 1) / memories
    assert figures.share_logged_out == pytest.approx(theory, abs=4 * (theory * (1 - theory) / 600) ** 0.5)
    assert figures.failed == figures.crossed == 0
    assert len(figures.nodes) == memories
    assert figures.logins >= figures.logged_out, "whoever is found logged out logs in again at once"


def test_writes_that_fail_but_may_have_happened_are_failures_and_no_losses() -> None:
    figures = load(StandIn(failed_visits=True))
    assert figures.failed == figures.failures["POST /visits: status 502"] > 0
    assert figures.failed_gets == figures.wrong == 0


def test_somebody_elses_session_is_noticed() -> None:
    assert load(StandIn(crossing=True)).crossed > 0


def test_a_cart_that_forgets_is_noticed() -> None:
    figures = load(StandIn(forgetful_cart=True))
    assert figures.cart_lost > 0
    assert figures.logged_out == figures.visits_lost == figures.crossed == 0


def test_a_logout_that_does_nothing_is_noticed() -> None:
    assert load(StandIn(revived=True), 1500).revived > 0


def test_each_phase_has_figures_of_its_own() -> None:
    with Generator() as generator, serving(behaviour := StandIn()) as url:
        generator.start(start(url))
        until(lambda: behaviour.logins >= 20, "everybody to be logged in")
        generator.enter("second")
        behaviour.nodes[0].clear()
        until(lambda: (p := generator.progress) is not None and p.figures.users_logged_out >= 15, "15 to be found out")
        first, second = generator.stop()
    assert (first.phase, first.logged_out) == ("first", 0)
    assert (second.phase, second.logged_out) == ("second", second.users_logged_out)
    assert 15 <= second.users_logged_out <= 20, "whoever logs out next of all never learns of it"


def test_a_server_that_is_not_there_fails_every_request() -> None:
    with serving(StandIn()) as url:
        pass
    with Generator() as generator:
        generator.start(start(url))
        until(lambda: generator.progress is not None and generator.progress.figures.requests > 0, "a request")
        (figures,) = generator.stop()
    assert figures.failed == figures.requests > 0
    assert set(figures.failures) == {"POST /login: no answer: ConnectionRefusedError"} | {
        reason for reason in figures.failures if "ConnectionRefusedError" in reason
    }


def test_it_ends_by_itself_when_whoever_started_it_is_killed() -> None:
    starter = (
        "import time; from loadtest import Generator\n"
        "generator = Generator().__enter__(); print(generator.pid, flush=True); time.sleep(99)"
    )
    root = Path(__file__).parents[3]
    with subprocess.Popen([sys.executable, "-c", starter], stdout=subprocess.PIPE, text=True, cwd=root) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    until(lambda: not psutil.pid_exists(pid), "the generator to be gone")


def test_it_ends_by_itself_after_its_time_limit() -> None:
    with Generator() as generator, serving(StandIn()) as url:
        generator.start(start(url, time_limit=1.0))
        until(lambda: not alive(generator), "the generator to be gone")
        with pytest.raises(GeneratorError, match="ended after 1 s, its time limit"):
            generator.stop()


def alive(generator: Generator) -> bool:
    return psutil.pid_exists(generator.pid) and psutil.Process(generator.pid).status() != psutil.STATUS_ZOMBIE


def test_a_generator_that_dies_is_reported_in_one_line() -> None:
    with Generator() as generator, serving(StandIn()) as url:
        generator.start(start(url))
        os.kill(generator.pid, signal.SIGKILL)
        until(lambda: not alive(generator), "the generator to be gone")
        with pytest.raises(GeneratorError, match=r"ended early \(exit -9\)"):
            generator.check()


def test_leaving_it_ends_it_whatever_happened() -> None:
    with contextlib.suppress(RuntimeError), serving(StandIn()) as url, Generator() as generator:
        generator.start(start(url))
        raise RuntimeError("a cluster that does not start, for example")
    assert not psutil.pid_exists(generator.pid)


@pytest.mark.parametrize("line", [b"{", b'{"do":"dance"}', b'{"do":"stop"}'])
def test_a_command_that_makes_no_sense_ends_it_with_one_line(line: bytes) -> None:
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-m", "loadtest.generate"], input=line + b"\n", capture_output=True, cwd=root, timeout=60
    )
    assert done.returncode == 1
    assert isinstance(decode_report(done.stdout.splitlines()[0]), Ready)
    assert len(done.stderr.splitlines()) == 1


def test_the_first_report_after_start_names_the_phase() -> None:
    root = Path(__file__).parents[3]
    with serving(StandIn()) as url:
        done = subprocess.run(
            [sys.executable, "-m", "loadtest.generate"],
            input=encode(start(url)) + b"\n",
            capture_output=True,
            cwd=root,
            timeout=60,
        )
    assert done.returncode == 0, done.stderr
    assert decode_report(done.stdout.splitlines()[1]) == Entered("first")
