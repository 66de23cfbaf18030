"""For plain Locust: `locust -f loadtest/locustfile.py --host http://127.0.0.1:8080`, with its web page or --headless.

The rows of Locust's statistics are the requests; those that found a user logged out stand apart ("/me [logged out]"),
and only HTTP failures count as failures. When Locust ends, it prints a summary of the checker's findings.

`loadtest.generator` starts Locust with this file as well. Then SESSION_LOAD_SETTINGS names a file with the load profile
and the target, each process writes its operations to a part of the run's history, and the number of users is read from
a file.
"""

import os
import signal
import ssl
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NoReturn

import gevent
import psutil
from locust import LoadTestShape, between, events, runners
from locust.runners import STATE_INIT, STATE_RUNNING, STATE_SPAWNING, MasterRunner, WorkerRunner

from loadtest import (
    arrivals,
    concurrent_users,
    tab_users,
)  # as modules: Locust takes each user class that it finds here
from loadtest.checker import Checker, Findings
from loadtest.credentials import USERS_FILE_VARIABLE, CredentialsError, read_credentials
from loadtest.history import Note, Op, PartWriter, now
from loadtest.load_profile import REASON, SETTINGS_VARIABLE, GeneratorSettings, Mix, part_file
from loadtest.operations import ADDRESS, is_address
from loadtest.users import Leaver, Load, SessionUser, Shopper, Visitor

__all__ = ["Leaver", "Shopper", "Visitor", "WantedUsers"]

USERS: dict[Mix, list[type[SessionUser]]] = {
    Mix.EVERYDAY: [Visitor, Shopper, Leaver],
    Mix.BROWSERS: [Visitor, Shopper, Leaver, tab_users.TabUser],
    Mix.TABS: [tab_users.TabUser, tab_users.AccountUser],
    Mix.SHARED_WRITERS: [concurrent_users.SharedWriter],
    Mix.LOGOUT_RACE: [concurrent_users.LogoutRacer],
}
FLUSH_INTERVAL = 0.5
WATCH_INTERVAL = 0.5
HEARTBEATS_MISSED = 30
"""Seconds without a word of a worker: Locust's own 3 end the load of a busy machine. `watch` sees dead workers."""
STATISTICS_INTERVAL = 60.0

SETTINGS = GeneratorSettings.take(os.environ[SETTINGS_VARIABLE]) if SETTINGS_VARIABLE in os.environ else None
"""None where a person has started Locust. Read before Locust forks its processes, so all of them have it."""
PID = os.getpid()


class WantedUsers(LoadTestShape):
    """Make Locust run the number of users in the generator's file, which it reads every second."""

    abstract = SETTINGS is None  # so Locust does not use it

    def tick(self) -> tuple[int, float] | None:
        assert SETTINGS is not None
        return SETTINGS.wanted_users(), SETTINGS.profile.spawn_rate


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def add_options(parser: Any) -> None:
    """Add options in a group of their own, which Locust's web page leaves out."""
    group = parser.add_argument_group("Session Cluster")
    group.add_argument(
        "--session-users-file",
        metavar="FILE",
        default=os.environ.get(USERS_FILE_VARIABLE, ""),
        help=f'JSON with {{"users": {{name: password}}}}, such as cluster.json. Default: {USERS_FILE_VARIABLE}',
    )
    group.add_argument(
        "--session-cookie",
        metavar="NAME",
        default=os.environ.get("SESSION_NAME", ""),
        help="name of the session's cookie. Default: SESSION_NAME, or as the file of users says",
    )


@events.init.add_listener  # type: ignore[untyped-decorator]
def prepare(environment: Any, runner: Any, **_: Any) -> None:
    """Prepare this process for its users."""
    if application := os.environ.get("NODE_APP"):
        sys.exit(f"Error: users of the shop can't load {application}; write a locustfile of its own")
    if SETTINGS is not None:
        prepare_generator(environment, runner, SETTINGS)
    elif not isinstance(runner, MasterRunner):  # a master has no users
        prepare_plain(environment)


def prepare_plain(environment: Any) -> None:
    """Read the credentials, and print what the checker found when Locust ends."""
    options = environment.parsed_options
    if options.host and not is_address(options.host):
        sys.exit(f"Error: --host must be {ADDRESS}, not {options.host}")
    try:
        credentials = read_credentials(options.session_users_file)
    except CredentialsError as error:
        sys.exit(f"Error: {error}")
    checker = Checker()
    cookie = options.session_cookie or credentials.session_cookie
    Load(credentials.users, checker.feed, cookie).attach(environment)

    @environment.events.quit.add_listener  # type: ignore[untyped-decorator]
    def print_summary(**_: Any) -> None:
        print(f"\n{summary(checker.findings())}\n", flush=True)


def summary(findings: Findings) -> str:
    """Return the findings in a few lines of plain text."""
    total = findings.total
    share = f" ({total.share_logged_out:.1%} of {total.as_logged_in:,} made while logged in)"
    lines = [
        f"What {total.users} users saw in {total.operations:,} requests ({total.rate:.0f}/s)",
        f"  found logged out   {total.logged_out:,}{share if total.as_logged_in else ''},"
        f" {total.users_logged_out} of {total.users} users",
        f"  updates lost       {findings.updates_lost:,}",
        f"  stale reads        {findings.stale_reads:,}",
        f"  writes misdirected {findings.misdirected:,}",
        f"  logouts revived    {findings.revived:,}",
        f"  sessions crossed   {findings.crossed:,}",
        f"  failed requests    {total.failed:,}",
        *(f"    {count:,} x {reason}" for reason, count in total.failures.items()),
        *([f"  retried            {total.retried:,} by the proxy, on another node"] if total.proxied else []),
        f"  answered by        {', '.join(f'{node} {count:,}' for node, count in total.nodes.items()) or '-'}",
    ]
    return "\n".join(lines)


# ---- as a process of loadtest.generator


def prepare_generator(environment: Any, runner: Any, settings: GeneratorSettings) -> None:
    """Prepare a process that `loadtest.generator` has started, or that Locust has forked from it."""
    profile = settings.profile
    actions = settings.adapter.actions
    environment.user_classes = [user for user in USERS[profile.mix] if user.needs <= actions]
    if profile.weights:
        for user in environment.user_classes:
            user.weight = profile.weights.get(user.__name__, 0)
    SessionUser.wait_time = between(*profile.wait)
    SessionUser.insecure = settings.insecure
    if (authority := settings.authority) is not None:
        SessionUser.ssl_context_factory = staticmethod(cache(lambda: ssl.create_default_context(cafile=authority)))
    runners.HEARTBEAT_LIVENESS = HEARTBEATS_MISSED
    if profile.web is None:
        gevent.spawn(forget_statistics, environment)
    if not isinstance(runner, WorkerRunner):
        gevent.spawn(watch, runner, profile.processes)
        environment.events.quit.add_listener(lambda **_: end_if_a_user_failed(runner))
    if not isinstance(runner, MasterRunner):
        record_part(environment, runner, settings)


def record_part(environment: Any, runner: Any, settings: GeneratorSettings) -> None:
    """Write this process's part of the history: its operations, and how busy it is."""
    number, processes = runner.worker_index, settings.profile.processes
    with ending_unless_written():
        part = PartWriter(part_file(settings.folder, number))

    def record(op: Op) -> None:
        with ending_unless_written():
            part.write(op)

    load = Load(settings.accounts, record, settings.session_cookie, settings.adapter, number, processes)
    load.attach(environment)

    def keep_flushing() -> None:
        at, cpu = time.monotonic(), time.process_time()
        while True:
            gevent.sleep(FLUSH_INTERVAL)
            at_before, cpu_before, at, cpu = at, cpu, time.monotonic(), time.process_time()
            share = round((cpu - cpu_before) / (at - at_before), 3)
            figures = {"users": runner.user_count, "generator_cpu": share}
            with ending_unless_written():
                part.write(Note(now(), f"generator {number + 1}", figures))
                part.flush()

    def end_without_arrivals(error: BaseException | None) -> None:
        end(f"an arrival failed, so the figures are incomplete: {error!r}")

    flusher = gevent.spawn(keep_flushing)
    source = arrivals.ArrivalSource(environment, settings.wanted_arrivals, number, 1 / processes, end_without_arrivals)
    source.start()

    @environment.events.quit.add_listener  # type: ignore[untyped-decorator]
    def complete(**_: Any) -> None:
        flusher.kill()
        source.stop()
        with ending_unless_written():
            part.close()


@contextmanager
def ending_unless_written() -> Iterator[None]:
    """End the process if its part of the history cannot be written."""
    try:
        yield
    except OSError as error:
        end(f"cannot write the history: {error.strerror}")


def forget_statistics(environment: Any) -> None:
    """Drop Locust's own statistics, which nobody sees without its page: they have an entry for each second."""
    while True:
        gevent.sleep(STATISTICS_INTERVAL)
        environment.stats.clear_all()


def watch(runner: Any, processes: int) -> None:
    """End the process with one line when the figures would be incomplete."""
    while True:
        gevent.sleep(WATCH_INTERVAL)
        end_if_a_user_failed(runner)
        if processes > 1 and runner.state in (STATE_INIT, STATE_SPAWNING, STATE_RUNNING):
            workers = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
            if len(workers) < processes:
                end(f"{processes - len(workers)} of {processes} worker processes ended early")


def end_if_a_user_failed(runner: Any) -> None:
    """End the process if a virtual user failed, because it sends no more requests."""
    for error in runner.exceptions.values():
        end(f"a virtual user failed, so the figures are incomplete: {error['msg']}")


def end_with_the_parent(command: int) -> NoReturn:
    """End the process when its parent has ended, which Locust's workers notice only within a minute."""
    while os.getppid() == (command if os.getpid() == PID else PID):
        gevent.sleep(WATCH_INTERVAL)
    os._exit(1)


def end(reason: str) -> NoReturn:
    """End this process at once with a reason on stderr; its parent and its children notice."""
    try:
        print(f"{REASON}{reason}", file=sys.stderr, flush=True)
    finally:
        os._exit(1)  # also where the disk is full, and no reason can be written


if SETTINGS is not None:
    gevent.spawn(end_with_the_parent, SETTINGS.parent)
    # Python's own handler would raise KeyboardInterrupt in the virtual user that runs at this moment.
    gevent.signal_handler(signal.SIGINT, gevent.kill, gevent.getcurrent(), KeyboardInterrupt)
