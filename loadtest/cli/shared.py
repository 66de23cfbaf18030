"""Options and steps that several commands have."""

import math
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console, RenderableType

from deploy import ClusterError, ComposeCluster, NodeKind, SwarmCluster
from deploy.cli import Command
from deploy.compose.docker import require_engine
from deploy.files import check_writable
from deploy.local.processes import ProcessReaper
from deploy.local.redis_server import RedisBinary
from deploy.signals import interruptible
from deploy.swarm.namespaces import require_machines
from loadtest.claims.claim import Verdict
from loadtest.experiment import ON_ONE_MACHINE, Place
from loadtest.progress import ProgressLine
from loadtest.report.page import MARKDOWN, NothingToReport, write_report
from loadtest.report.sentences import tell_all
from loadtest.results import RESULTS, Result, write_results
from loadtest.suite import MakeCluster, RunStopped, Suite
from loadtest.targets.reference import local_cluster
from proxy.nginx import Nginx, NginxError
from proxy.settings import did_you_mean

INTERRUPTED = 130  # what shells say of a program that Ctrl-C has ended
_TEMPORARY = "session-load-"


class Number(click.FloatRange):
    """A float within a range; click.FloatRange accepts NaN."""

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        number = super().convert(value, parameter, context)
        if math.isnan(number):
            self.fail(f"{value} is not in the range {self._describe_range()}.", parameter, context)
        return number

    def _describe_range(self) -> str:
        return f"{self.min:g}<=x<={self.max:g}"


def place_option(
    default: str | None, text: str, places: Collection[Place] = ON_ONE_MACHINE
) -> Callable[[Command], Command]:
    """Return the option --on: where a cluster runs."""
    choice = click.Choice([place.value for place in Place if place in places])
    shown = default is not None
    return click.option("--on", "place", metavar="PLACE", type=choice, default=default, show_default=shown, help=text)


def users_option(default: int, text: str) -> Callable[[Command], Command]:
    """Return the option --users of a suite."""
    count = click.IntRange(1, 1000)
    return click.option("--users", metavar="N", type=count, default=default, show_default=True, help=text)


class Folder(click.Path):
    """The path of a folder, which need not exist yet. Click's own check lets devices, pipes and sockets pass."""

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        path = Path(value)
        if path.exists() and not path.is_dir():
            self.fail(f"{path} is not a folder; name a new or an empty one.", parameter, context)
        return path


def out_option(text: str) -> Callable[[Command], Command]:
    """Return the option --out: a folder to keep results in."""
    return click.option("--out", type=Folder(), metavar="DIR", help=text)


def json_option(text: str) -> Callable[[Command], Command]:
    """Return the option --json: a file for all figures."""
    file = click.Path(dir_okay=False, path_type=Path)
    return click.option("--json", "record", type=file, metavar="FILE", help=text)


def require_writable(record: Path | None) -> None:
    """Refuse a file that cannot be written, before minutes of measuring."""
    if record is not None:
        with writing(record):
            check_writable(record)


def prepare(out: Path) -> None:
    """Create the folder of results. Refuse a folder with other contents."""
    with in_one_line(ValueError), writing(out):
        if out.is_dir() and any(out.iterdir()) and not (out / RESULTS).is_file():
            taken = f"{out} holds other things; name an empty folder or a new one"
            raise click.BadParameter(taken, param_hint="--out")
        out.mkdir(parents=True, exist_ok=True)
        write_results(out)


def run_suite(
    suite: Suite,
    console: Console,
    show: Callable[[list[Result]], RenderableType],
    *,
    report: str | None,
    stopped: str,
    broken: str,
    strict: bool = False,
) -> tuple[list[Result], int]:
    """Run a suite, show the results, and return them with the exit status: 130 if a signal stopped it.

    `report` is the title of the report (None: write none); the other texts are for the last line. With `strict` a run
    that fails ends the suite.
    """
    began, interrupted = time.monotonic(), False
    results: list[Result] = []
    done = 0
    for too_few in suite.list_short():
        console.print(f"{too_few}.", style="yellow", markup=False, highlight=False, soft_wrap=True)
    try:
        with interruptible(), ProgressLine(console) as line, writing(suite.folder):
            for result in suite.run(line):
                if strict and result.findings is None:
                    raise click.ClickException(result.claims[0].reason)
                results.append(result)
                done += 1
    except KeyboardInterrupt as error:
        interrupted = True
        if isinstance(error, RunStopped):
            results.append(error.result)
    if results:
        console.print()
        console.print(show(results))
    failed = sum(result.verdict is not Verdict.HOLDS for result in results)
    if interrupted:
        console.print(f"\nStopped after {done} of {suite.runs} {stopped}.")
    else:
        last = f"{failed} of {len(results)} {broken}" if failed else "All as predicted"
        seconds = f"{time.monotonic() - began:.0f} s"
        console.print(
            f"\n{last}: {tell_all(results)}. {seconds}.", style="bold red" if failed else "bold", markup=False
        )
    if report is not None:
        try:
            with writing(suite.folder):
                path = write_report(suite.folder, report)
            console.print(f"Report: {path}", soft_wrap=True, markup=False)
            pasted = f"To paste into a pull request: {suite.folder / MARKDOWN}"
            console.print(pasted, soft_wrap=True, markup=False)
        except NothingToReport:
            (suite.folder / RESULTS).unlink(missing_ok=True)
    return results, INTERRUPTED if interrupted else int(failed > 0)


def choose_clusters(place: Place, node: str, nginx: str | None, store_server: str | None) -> MakeCluster:
    """Return what makes clusters in this place. Refuse options that it does not have, and unusable programs."""
    if place is Place.LOCAL:
        with in_one_line(ClusterError, NginxError):
            for program, check in ((nginx, Nginx), (store_server, RedisBinary)):
                if program is not None:
                    check(program)
        return lambda spec: local_cluster(spec, nginx=nginx, store_server=store_server)
    if node != NodeKind.FLASK:
        raise click.UsageError(f"--node {node} is for local processes: nodes in containers are flask")
    if nginx or store_server:
        raise click.UsageError("--nginx and --store-server are for local processes: containers bring their own")
    return ComposeCluster if place is Place.COMPOSE else SwarmCluster


def require_place(place: Place) -> None:
    """Raise ClusterError if no cluster can run in this place here."""
    if place is Place.SWARM:
        require_machines()
    if place is not Place.LOCAL:
        require_engine()


def require_known(name: str, known: Collection[str], what: str, option: str) -> None:
    if name not in known:
        raise click.BadParameter(f"unknown {what} {name!r}: {did_you_mean(name, known)}", param_hint=option)


@contextmanager
def in_one_line(*kinds: type[Exception]) -> Iterator[None]:
    """End the command with the message of an error of these kinds."""
    try:
        yield
    except kinds as error:
        raise click.ClickException(str(error)) from error


@contextmanager
def stoppable(console: Console, said: str = "stopped; everything has been ended") -> Iterator[None]:
    """End the command when a signal comes, after the clean-up of the block."""
    try:
        with interruptible():
            yield
    except KeyboardInterrupt:
        console.print(said)
        raise SystemExit(INTERRUPTED) from None


@contextmanager
def writing(path: Path | str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise click.ClickException(f"cannot write to {path}: {error.strerror}") from error


@contextmanager
def temporary_folder(out: Path | None) -> Iterator[Path]:
    """Yield the folder, or a temporary one, which is removed however this process ends."""
    with ExitStack() as stack:
        if out is None:
            with writing("a temporary folder"):
                out = Path(tempfile.mkdtemp(prefix=_TEMPORARY))
                stack.callback(ProcessReaper(out, keep=False).close)
        yield out
