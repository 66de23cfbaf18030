"""`session-cluster failover`."""

import difflib
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from loadtest.options import own_programs

if TYPE_CHECKING:
    from rich.console import Console

    from deploy import Cluster, ClusterSpec
    from loadtest.experiment import Experiment
    from loadtest.failover.session import Plan

DEFAULT_USERS = 24
INTERRUPTED = 130  # what shells say of a program that Ctrl-C has ended
SHORT = 0.5


@click.group(short_help="Break real clusters under load, and see what is lost.")
def failover() -> None:
    """Experiments: a hypothesis, a real cluster under load, a fault, and what was lost, as numbers.

    Each checks the steady state, applies its fault under load, undoes it in any case, and checks the steady state
    again. `session-cluster failover list` says which there are.
    """


@failover.command("list", short_help="Which experiments there are.")
def list_() -> None:
    """Name and title of each experiment, and what it runs on."""
    from rich.console import Console
    from rich.table import Table

    from loadtest.experiments import EXPERIMENTS

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("", justify="right")
    for column in ("name", "experiment", "on"):
        table.add_column(column)
    for experiment in EXPERIMENTS:
        table.add_row(str(experiment.number), experiment.name, experiment.title, ", ".join(experiment.places))
    Console().print(table)


@failover.command(short_help="Run some experiments, or all.")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--all", "everything", is_flag=True, help="All experiments that run there.")
@click.option(
    "--repeat",
    metavar="N",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    help="So many runs of each.",
)
@click.option(
    "--on",
    "place",
    metavar="PLACE",
    type=click.Choice(["local", "compose"]),
    help="local: processes of this machine; compose: containers. Default: local, and compose for what needs "
    "containers, where there is Docker.",
)
@click.option(
    "--node",
    metavar="KIND",
    type=click.Choice(["flask", "express", "flask-session"]),
    default="flask",
    show_default=True,
    help="Application of the nodes: flask, express, flask-session; only some experiments have others.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where results, histories and the report go: a new folder, an empty one, or one of an earlier run, which is "
    "added to. Default: results/failover-TIME.",
)
@click.option(
    "--users",
    metavar="N",
    type=click.IntRange(1, 1000),
    default=DEFAULT_USERS,
    show_default=True,
    help="Virtual users.",
)
@click.option("--short", is_flag=True, help="Watch for half as long: for a first look, and for CI.")
@own_programs
def run(
    names: tuple[str, ...],
    everything: bool,
    repeat: int,
    place: str | None,
    node: str,
    out: Path | None,
    users: int,
    short: bool,
    store_server: Path | None,
    nginx: Path | None,
) -> None:
    """Run experiments, one after another, each with a cluster of its own, and say whether their hypotheses hold.

    Ctrl-C undoes the fault that is there and stops everything.

    Exit status: 0 all hypotheses hold; 1 one is broken, or there was too little data to tell, or something went wrong
    (in one line); 2 wrong usage; 130 stopped by Ctrl-C.
    """
    from rich.console import Console

    from deploy import ClusterError, ComposeCluster, NodeKind
    from deploy.compose.docker import require_engine
    from loadtest.failover.session import Plan
    from loadtest.failover.trial import Effort
    from loadtest.results import Place
    from loadtest.runner import MakeCluster
    from loadtest.targets import application_of, local_cluster

    kind = NodeKind(node)
    if place == Place.COMPOSE and kind is not NodeKind.FLASK:
        raise click.UsageError(f"--node {kind} is for local processes: nodes in containers are flask")
    if place == Place.COMPOSE and (nginx or store_server):
        raise click.UsageError("--nginx and --store-server are for local processes: containers bring their own")
    only_local = kind is not NodeKind.FLASK or nginx or store_server
    places = [Place(place)] if place else [Place.LOCAL] if only_local else list(Place)
    chosen = _chosen(names, everything, places, kind)

    def local(spec: "ClusterSpec") -> AbstractContextManager["Cluster"]:
        return local_cluster(spec, None, nginx, store_server)

    made: dict[Place, MakeCluster] = {Place.LOCAL: local, Place.COMPOSE: ComposeCluster}
    others = "" if kind is NodeKind.FLASK else f"--node {kind}"
    options = " ".join(filter(None, (f"--users {users}", "--short" if short else "", others)))
    folder = out or Path("results", time.strftime("failover-%Y%m%d-%H%M%S"))
    effort = Effort(users, share=SHORT if short else 1.0)
    plan = Plan(chosen, repeat, effort, folder, options, {place: made[place] for place in places}, kind)
    try:
        application_of(kind)  # what cannot run here is no experiment's fault, and installing it is none's time
        if any(case.place is Place.COMPOSE for case in plan.cases):
            require_engine()
    except ClusterError as error:
        if place or only_local:
            raise click.ClickException(str(error)) from error
        plan = _without_containers(plan, names, str(error))
    prepare(folder)
    sys.exit(_run(plan, Console()))


def _without_containers(plan: "Plan", names: Sequence[str], why: str) -> "Plan":
    """What of it can be run all the same. It is an error where nothing is left of what was named."""
    from loadtest.results import Place

    rest = replace(plan, clusters={place: make for place, make in plan.clusters.items() if place is not Place.COMPOSE})
    if set(names) - {case.experiment.name for case in rest.cases}:
        raise click.ClickException(why)
    count = plan.runs - rest.runs
    click.echo(f"{count} run{'s' if count > 1 else ''} that need containers are left out: {why}", err=True)
    return rest


def _chosen(names: Sequence[str], everything: bool, places: Sequence[str], node: str) -> list["Experiment"]:
    from loadtest.experiments import BY_NAME, EXPERIMENTS

    if everything and names:
        raise click.UsageError(f"--all runs everything: leave out {' '.join(names)}, or --all")
    if not everything and not names:
        raise click.UsageError("name an experiment, or give --all; `session-cluster failover list` says which")
    for name in names:
        if name not in BY_NAME:
            near = difflib.get_close_matches(name, BY_NAME, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"the experiments are {', '.join(BY_NAME)}."
            raise click.BadParameter(f"there is no experiment {name!r}; {hint}", param_hint="NAME")
        if not set(places) & set(BY_NAME[name].places):
            only = ", ".join(BY_NAME[name].places)
            raise click.BadParameter(f"{name} does not run on {places[0]}; it runs on {only}.", param_hint="--on")
        if node not in BY_NAME[name].nodes:
            others = ", ".join(one.name for one in EXPERIMENTS if node in one.nodes)
            raise click.BadParameter(f"{name} is for our nodes alone; {node} has {others}.", param_hint="--node")
    possible = [one for one in EXPERIMENTS if set(places) & set(one.places) and node in one.nodes]
    return [one for one in possible if everything or one.name in names]


def prepare(out: Path) -> None:
    """Make the folder, and refuse one that is somebody else's."""
    from loadtest.results import RESULTS, write_all

    try:
        if out.is_dir() and any(out.iterdir()) and not (out / RESULTS).is_file():
            raise click.BadParameter(f"{out} holds other things; name an empty folder or a new one", param_hint="--out")
        out.mkdir(parents=True, exist_ok=True)
        write_all(out)
    except OSError as error:
        raise click.ClickException(f"cannot write to {out}: {error.strerror}") from error
    except ValueError as error:
        raise click.ClickException(str(error)) from error


def _run(plan: "Plan", console: "Console") -> int:
    from loadtest.failover.interruption import interruptible
    from loadtest.failover.session import run_all
    from loadtest.progress import ProgressLine
    from loadtest.report.tables import table
    from loadtest.report.write import write_report
    from loadtest.verdict import Verdict

    began = time.monotonic()
    results, interrupted = [], False
    try:
        with interruptible(), ProgressLine(console) as line:
            for result in run_all(plan, line):
                results.append(result)
    except KeyboardInterrupt:
        interrupted = True
    except OSError as error:
        raise click.ClickException(f"cannot write to {plan.folder}: {error.strerror}") from error
    if results:
        console.print()
        console.print(table(results))
        console.print(f"\nReport: {write_report(plan.folder)}", soft_wrap=True)
    if interrupted:
        console.print(f"\nStopped after {len(results)} of {plan.runs} runs; the fault is undone, everything has ended.")
        return INTERRUPTED
    failed = sum(result.verdict is not Verdict.HOLDS for result in results)
    said = f"{failed} of {len(results)} runs did not hold" if failed else "All of it holds"
    console.print(f"{said}. {time.monotonic() - began:.0f} s.", style="bold red" if failed else "bold green")
    return 1 if failed else 0
