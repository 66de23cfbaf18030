"""`session-cluster demo`."""

import sys
from pathlib import Path

import click
from rich.console import Console

from deploy import NodeKind
from deploy.cli import program_options
from deploy.files import write_json
from loadtest.cli.shared import (
    INTERRUPTED,
    Number,
    choose_clusters,
    json_option,
    out_option,
    prepare,
    require_known,
    require_writable,
    run_suite,
    temporary_folder,
    users_option,
    writing,
)
from loadtest.demo import BY_NAME, SCENES, SECONDS, make_record, show_scenes
from loadtest.experiment import Place
from loadtest.suite import Suite, SuiteLoad


@click.command(short_help="Show on real clusters when sessions are lost, and when not.")
@users_option(30, "Number of virtual users in each scene.")
@click.option(
    "--seconds",
    metavar="S",
    type=Number(1, 3600),
    default=5.0,
    show_default=True,
    help="How long each scene measures; up to five times as long where the machine is too slow to see enough.",
)
@click.option("--scene", "names", multiple=True, metavar="NAME", help="Run this scene only; may be repeated.")
@json_option("Write all figures to FILE.")
@out_option("Keep the histories in DIR, with a report: a new folder, or one of an earlier demo.")
@program_options
def demo(
    users: int,
    seconds: float,
    names: tuple[str, ...],
    record: Path | None,
    out: Path | None,
    store_server: str | None,
    nginx: str | None,
) -> None:
    """Start real clusters one after another, put virtual users on each, and show what they lose.

    Each scene starts nginx, the nodes and, where sessions are shared, a store, all on this machine and on free ports.
    Afterwards the history of all requests is checked: what each user did, and what each answer shows of it. The whole
    demo takes about 75 s, and up to twice as long on a busy machine. Ctrl-C stops everything.

    "Found logged out" are requests whose user had logged in, and whose answer says otherwise.

    \b
    The scenes:
      one-worker   1 node, 1 worker, memory           nothing is lost
      two-workers  1 node, 2 workers, memory          up to half found logged out
      three-nodes  3 nodes, memory, round robin       2/3 found logged out
      sticky-kill  3 nodes, memory, sticky; kill one  1/3 of the users logged out
      redis-kill   3 nodes, Redis; kill one           nothing is lost
      scale        3 to 5 nodes and back, Redis       nothing is lost

    Exit status: 0 every scene showed what it should; 1 one did not, or had too little data, or an error; 2 wrong usage;
    130 stopped by Ctrl-C.
    """
    for name in names:
        require_known(name, BY_NAME, "scene", "--scene")
    require_writable(record)
    if out is not None:
        prepare(out)
    console = Console()
    with temporary_folder(out) as folder:
        suite = Suite(
            experiments=[scene for scene in SCENES if not names or scene.name in names],
            load=SuiteLoad(users, share=seconds / SECONDS),
            folder=folder,
            clusters={Place.LOCAL: choose_clusters(Place.LOCAL, NodeKind.FLASK, nginx, store_server)},
            command=f"session-cluster demo --scene {{name}} --users {users}",
            probes=False,
        )
        results, status = run_suite(
            suite,
            console,
            lambda results: show_scenes(results, console.width),
            report=None if out is None else "What scaling out does to sessions",
            stopped="scenes; everything has been ended",
            broken="scenes were not as predicted",
            strict=True,
        )
    if record is not None and status != INTERRUPTED:
        with writing(record):
            write_json(record, make_record(results, users, seconds))
    sys.exit(status)
