"""`session-cluster demo`. Imports are inside of the command: the command line answers `--help` at once."""

import sys
import time
from pathlib import Path

import click

from loadtest.cli.shared import (
    FOLDER,
    INTERRUPTED,
    conclude,
    json_option,
    local_clusters,
    prepare,
    program_options,
    require_known,
    require_writable,
    run_suite,
    temporary_folder,
    writing,
)


@click.command(short_help="Show on real clusters when sessions are lost, and when not.")
@click.option(
    "--users",
    metavar="N",
    type=click.IntRange(1, 1000),
    default=30,
    show_default=True,
    help="Virtual users in each scene.",
)
@click.option(
    "--seconds",
    metavar="S",
    type=click.FloatRange(1, 3600),
    default=5.0,
    show_default=True,
    help="How long each scene measures; longer, up to five times, where the machine is too slow to see enough.",
)
@click.option(
    "--scene", "names", multiple=True, metavar="NAME", help="Run this scene only; may be given more than once."
)
@json_option("Write all figures to FILE.")
@click.option(
    "--out",
    type=FOLDER,
    metavar="DIR",
    help="Keep the histories in DIR, with a report: a new folder, or one of an earlier demo.",
)
@program_options
def demo(
    users: int,
    seconds: float,
    names: tuple[str, ...],
    record: Path | None,
    out: Path | None,
    store_server: Path | None,
    nginx: Path | None,
) -> None:
    """Start real clusters one after another, put virtual users on each, and show what they lose.

    Every scene starts nginx, the nodes and, where sessions are shared, a store, all on this machine and on free ports.
    The history of all requests is then checked: what each user did, and what each answer shows of it. The whole demo
    takes little more than a minute; Ctrl-C stops everything.

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

    from loadtest.demo import BY_NAME, SCENES, SECONDS, make_record, show_scenes
    from loadtest.experiment import Place
    from loadtest.report.page import write_report
    from loadtest.results import write_json
    from loadtest.suite import Effort, Suite

    for name in names:
        require_known(name, BY_NAME, "scene", "--scene")
    scenes = [scene for scene in SCENES if not names or scene.name in names]
    require_writable(record)
    if out is not None:
        prepare(out)
    console = Console()
    began = time.monotonic()
    with temporary_folder(out) as folder:
        suite = Suite(
            experiments=scenes,
            effort=Effort(users, share=seconds / SECONDS),
            folder=folder,
            clusters={Place.LOCAL: local_clusters(nginx, store_server)},
            command=f"session-cluster demo --scene {{name}} --users {users}",
            probes=False,
        )
        results, interrupted = run_suite(suite, console, strict=True)
    if results:
        console.print()
        console.print(show_scenes(results, console.width))
    if interrupted:
        console.print(f"\nStopped after {len(results)} of {len(scenes)} scenes; everything has been ended.")
        sys.exit(INTERRUPTED)
    if record is not None:
        with writing(record):
            write_json(record, make_record(results, users, seconds))
    said = "{failed} of {runs} scenes did not show what they are to show"
    status = conclude(console, results, said, "As expected", began)
    if out is not None:
        console.print(f"Report: {write_report(out, 'What scaling out does to sessions')}", soft_wrap=True)
    sys.exit(status)
