"""`session-cluster demo`."""

import difflib
import signal
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from loadtest.options import own_programs

if TYPE_CHECKING:
    from rich.console import Console

    from deploy import Cluster, ClusterSpec
    from loadtest.demo.run import Effort, MakeCluster
    from loadtest.demo.scenes import Outcome, Scene

DEFAULT_USERS = 30
DEFAULT_SECONDS = 5.0
INTERRUPTED = 130  # what shells say of a program that Ctrl-C has ended


@click.command(short_help="Show on real clusters when sessions are lost, and when not.")
@click.option(
    "--users",
    metavar="N",
    type=click.IntRange(1, 1000),
    default=DEFAULT_USERS,
    show_default=True,
    help="Virtual users in each scene.",
)
@click.option(
    "--seconds",
    metavar="S",
    type=click.FloatRange(1, 3600),
    default=DEFAULT_SECONDS,
    show_default=True,
    help="How long each scene measures; longer, up to five times, where the machine is too slow to see enough.",
)
@click.option(
    "--scene",
    "names",
    multiple=True,
    metavar="NAME",
    help="Run this scene only; may be given more than once.",
)
@click.option(
    "--json",
    "record",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write all figures to FILE.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Keep the histories in DIR, and a report that shows them: a new folder, or one of an earlier demo.",
)
@own_programs
def demo(
    users: int,
    seconds: float,
    names: tuple[str, ...],
    record: Path | None,
    out: Path | None,
    store_server: Path | None,
    nginx: Path | None,
) -> None:
    """Start real clusters one after another, let users loose on each, and show what they lose.

    Every scene starts nginx, the nodes and, where sessions are shared, a store, all on this machine and on free ports.
    Each virtual user remembers what it did (logged in as whom, its visits, its cart) and compares that with every
    answer. The whole demo takes little more than a minute; Ctrl-C stops everything.

    \b
    The scenes:
      one-worker   1 node, 1 worker, memory           nothing is lost
      two-workers  1 node, 2 workers, memory          up to half the requests miss
      three-nodes  3 nodes, memory, round robin       2/3 of the requests miss
      sticky-kill  3 nodes, memory, sticky; kill one  1/3 of the users are out
      redis-kill   3 nodes, Redis; kill one           nothing is lost
      scale        3 to 5 nodes and back, Redis       nothing is lost

    Exit status: 0 every scene showed what it is to show; 1 one did not, or had too little data to tell, or something
    went wrong (in one line); 2 wrong usage; 130 stopped by Ctrl-C.
    """
    from rich.console import Console

    from deploy import LocalCluster
    from loadtest.demo.run import Effort
    from loadtest.failover.cli import prepare

    scenes = _chosen(names)
    if record is not None:
        _check_writable(record)
    if out is not None:
        prepare(out)

    def make_cluster(spec: "ClusterSpec") -> AbstractContextManager["Cluster"]:
        return LocalCluster(spec, nginx=nginx, store_server=store_server)

    # Whoever ends the demo with SIGTERM expects the clusters to be taken down as with Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(_run(scenes, Effort(users, seconds), make_cluster, record, out, Console()))


def _chosen(names: tuple[str, ...]) -> list["Scene"]:
    from loadtest.demo.scenes import BY_NAME, SCENES

    for name in names:
        if name not in BY_NAME:
            near = difflib.get_close_matches(name, BY_NAME, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"the scenes are {', '.join(BY_NAME)}."
            raise click.BadParameter(f"there is no scene {name!r}; {hint}", param_hint="--scene")
    return [scene for scene in SCENES if not names or scene.name in names]


def _check_writable(record: Path) -> None:
    """A minute of measuring is not to be lost to a path that was wrong from the start."""
    from loadtest.demo.record import check

    try:
        check(record)
    except OSError as error:
        raise click.ClickException(f"cannot write {record}: {error.strerror}") from error


def _run(
    scenes: list["Scene"],
    effort: "Effort",
    make_cluster: "MakeCluster",
    record: Path | None,
    out: Path | None,
    console: "Console",
) -> int:
    from deploy import ClusterError
    from loadtest.demo.claims import Verdict
    from loadtest.demo.kept import history_of, keep
    from loadtest.demo.record import to_json, write
    from loadtest.demo.run import run
    from loadtest.demo.table import result
    from loadtest.old_generator import GeneratorError
    from loadtest.progress import ProgressLine, Status
    from loadtest.report.write import write_report

    outcomes: list[Outcome] = []
    began = time.monotonic()
    interrupted = False
    try:
        with ProgressLine(console) as line:
            for number, scene in enumerate(scenes, 1):
                history = history_of(out, scene.name) if out is not None else None
                status = Status(scene.title, number, len(scenes))
                outcomes.append(run(scene, effort, make_cluster, status, line, history))
                if out is not None:
                    keep(out, number, outcomes[-1], effort.users)
    except KeyboardInterrupt:
        interrupted = True
    except (ClusterError, GeneratorError) as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"cannot write to {out}: {error.strerror}") from error
    if outcomes:
        console.print()
        console.print(result(outcomes, console.width))
    if record is not None and not interrupted:
        write(record, to_json(outcomes, effort))
    if interrupted:
        console.print(f"\nStopped after {len(outcomes)} of {len(scenes)} scenes; everything has been ended.")
        return INTERRUPTED
    failed = sum(outcome.ruling.verdict is not Verdict.HOLDS for outcome in outcomes)
    said = f"{failed} of {len(scenes)} scenes did not show what they are to show" if failed else "As expected"
    console.print(f"\n{said}. {time.monotonic() - began:.0f} s.", style="bold red" if failed else "bold green")
    if out is not None:
        console.print(f"Report: {write_report(out, 'What scaling out does to sessions')}", soft_wrap=True)
    return 1 if failed else 0
