"""`session-cluster failover` and `report`."""

import secrets
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console

from deploy import ClusterError, NodeKind, StoreKind
from deploy.cli import program_options
from loadtest.cli.on_target import choose_fitting, list_fitting, open_target, target_option
from loadtest.cli.shared import (
    Number,
    choose_clusters,
    in_one_line,
    out_option,
    place_option,
    prepare,
    require_known,
    require_place,
    run_suite,
    users_option,
    writing,
)
from loadtest.experiment import Experiment, Place
from loadtest.experiments import BY_NAME, EXPERIMENTS
from loadtest.progress import Schedule, Status
from loadtest.random_faults import STORES, describe, make_experiment, show_random
from loadtest.report.choosing import render_guide
from loadtest.report.page import TITLE, write_report
from loadtest.report.tables import Column, Table, show_experiments
from loadtest.suite import Suite, SuiteLoad
from loadtest.targets.reference import make_application

SHORT = 0.5
_PLACES = tuple(place for place in Place if place is not Place.TARGET)
DAY = 86_400.0


@click.group(short_help="Break real clusters under load, and see what is lost.")
def failover() -> None:
    """Run experiments: each has a hypothesis, a real cluster under load, a fault, and figures of what was lost.

    Each checks that the cluster is steady, applies its fault under load, undoes it in any case, and checks again that
    the cluster is steady. `session-cluster failover list` names them.
    """


@failover.command("list", short_help="List the experiments.")
@target_option
def list_(file: Path | None) -> None:
    """List number, name and title of each experiment, and where it runs.

    local: processes of this machine; compose: containers; swarm: containers on several machines. With --target: what
    runs on this target, and why the others can't.

    Exit status: 0 listed; 1 an error in FILE; 2 wrong usage.
    """
    if file is not None:
        list_fitting(open_target(file), Console())
        return
    table = Table([Column(""), *(Column(name, number=False) for name in ("name", "experiment", "on"))], gap=1)
    for experiment in EXPERIMENTS:
        table.add([str(experiment.number), experiment.name, experiment.title, ", ".join(experiment.places)])
    Console().print(table.render())


@failover.command(short_help="Run some experiments, or all.")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Run all experiments, for more than half an hour; with --on or --node all that can run so.",
)
@target_option
@click.option(
    "--repeat",
    metavar="N",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    help="Number of runs of each.",
)
@place_option(
    None,
    "Where the clusters run: local (processes of this machine), compose (containers) or swarm (containers on several "
    "machines, which are namespaces of this one).  [default: local, and the others for experiments that need them, "
    "where this machine can run them]",
    _PLACES,
)
@click.option(
    "--node",
    metavar="KIND",
    type=click.Choice([kind.value for kind in NodeKind]),
    default=NodeKind.FLASK.value,
    show_default=True,
    help=f"Application of the nodes: {', '.join(NodeKind)}. Only some experiments run with express and flask-session.",
)
@out_option(
    "Folder for results, histories and the report: a new or empty one, or one of an earlier run, whose results are "
    "kept.  [default: results/failover-TIME]"
)
@users_option(24, "Number of virtual users.")
@click.option("--short", is_flag=True, help="Run each for half as long, for a first look.")
@program_options
def run(
    names: tuple[str, ...],
    everything: bool,
    file: Path | None,
    repeat: int,
    place: str | None,
    node: str,
    out: Path | None,
    users: int,
    short: bool,
    store_server: str | None,
    nginx: str | None,
) -> None:
    """Run experiments one after another, each with its own cluster, and compare with their hypotheses.

    Give names or numbers of `session-cluster failover list`, or --all. NAME.VARIANT runs one variant of an experiment,
    such as replicas-cut-off.guarded. Ctrl-C undoes the current fault and stops everything.

    With --target they run on your own system. What it can't do is said before anything starts; without names all that
    it can do runs. Servers that were running before are running again afterwards.

    Exit status: 0 all was as predicted; 1 a hypothesis is broken, or there was too little data, or an error; 2 wrong
    usage; 130 stopped by Ctrl-C.
    """
    by_number = {str(one.number): one.name for one in EXPERIMENTS}
    parts = [name.partition(".") for name in names]
    variants = _choose_variants([(by_number.get(name, name), variant) for name, _, variant in parts])
    folder = out or Path("results", time.strftime("failover-%Y%m%d-%H%M%S"))
    share = SHORT if short else 1.0
    kind = NodeKind(node)
    if file is not None:
        if everything and names:
            raise click.UsageError(f"--all and names exclude each other; leave out {' '.join(names)} or --all")
        if place or nginx or store_server or kind is not NodeKind.FLASK:
            raise click.UsageError("--on, --node, --nginx and --store-server are for clusters of this project")
        suite = _make_target_suite(file, variants, SuiteLoad(users, share=share), folder, repeat)
        sys.exit(_run(suite))
    only_local = kind is not NodeKind.FLASK or nginx or store_server
    places = [Place(place)] if place else [Place.LOCAL] if only_local else list(_PLACES)
    names = tuple(variants)
    chosen = _choose(names, everything, places, kind)
    options = (f"--users {users}", "--short" if short else "", f"--node {kind}" if kind is not NodeKind.FLASK else "")
    suite = Suite(
        experiments=chosen,
        load=SuiteLoad(users, share=share),
        folder=folder,
        clusters={place: choose_clusters(place, kind, nginx, store_server) for place in places},
        command=f"session-cluster failover run {{name}} --on {{place}} {' '.join(filter(None, options))}",
        repeat=repeat,
        node=kind,
        variants=variants,
    )
    if not suite.cases:
        raise click.UsageError(f"{' '.join(names)}: no such variant runs on {' or '.join(places)} with {kind} nodes")
    with in_one_line(ClusterError):
        make_application(kind)  # before the runs, because it may install packages
    for each in places:
        if cases := [case for case in suite.cases if case.place is each]:
            try:
                require_place(each)
            except ClusterError as error:
                if place or only_local:
                    raise click.ClickException(f"{cases[0].experiment.name} cannot run: {error}") from error
                suite = leave_out(suite, each, names, str(error))
    sys.exit(_run(suite))


def _run(suite: Suite) -> int:
    prepare(suite.folder)
    _, status = run_suite(
        suite,
        Console(),
        show_experiments,
        report=TITLE,
        stopped="runs; the fault is undone, everything has ended",
        broken="runs were not as predicted",
    )
    return status


def _make_target_suite(
    file: Path, variants: Mapping[str, Collection[str]], load: SuiteLoad, folder: Path, repeat: int
) -> Suite:
    """Return the experiments of these names on a target, or all that fit it."""
    target = open_target(file)
    found = choose_fitting(target, variants)
    for name, why in found.refused.items() if variants else ():
        click.echo(f"{name} is left out: {why}", err=True)
    options = (f"--users {load.users}", "--short" if load.share == SHORT else "")
    command = f"session-cluster failover run --target {file} {{name}} {' '.join(filter(None, options))}"
    return Suite(found.experiments, load, folder, command=command, repeat=repeat, target=target)


@failover.command("random", short_help="Draw faults at random until something is lost.")
@click.option(
    "--store",
    metavar="STORE",
    type=click.Choice([store.value for store in STORES]),
    default=StoreKind.REDIS.value,
    show_default=True,
    help=f"Where sessions are kept: {', '.join(STORES)}.",
)
@click.option(
    "--seconds",
    metavar="S",
    type=Number(1, DAY),
    help="Seconds of load, approximately; at least one fault is applied. Start, login of the users and check take"
    " another 15 s, or more on a busy machine. From 600 on, the run has a quiet phase at its beginning and one at its"
    " end, and compares the two."
    "  [default: 60; with --operations a day]",
)
@click.option(
    "--operations",
    metavar="N",
    type=click.IntRange(1, 1_000_000_000),
    help="End after N checked operations, or after the seconds, whichever comes first.",
)
@click.option(
    "--wait",
    nargs=2,
    type=Number(0, 3600),
    default=SuiteLoad.wait,
    metavar="MIN MAX",
    help="Users wait MIN to MAX seconds before their next request.  [default: {:g} {:g}]".format(*SuiteLoad.wait),
)
@click.option(
    "--seed",
    metavar="N",
    type=click.IntRange(0, 2**32 - 1),
    help="Repeat the faults of an earlier run.  [default: new ones]",
)
@out_option("Folder for the result, the history and the report.  [default: results/random-TIME]")
@users_option(24, "Number of virtual users.")
@program_options
def random_(
    store: str,
    seconds: float | None,
    operations: int | None,
    wait: tuple[float, float],
    seed: int | None,
    out: Path | None,
    users: int,
    store_server: str | None,
    nginx: str | None,
) -> None:
    """Start a cluster under load and break it again and again: faults and members are drawn at random.

    A fault is one of the nodes or the proxy, or one of the store; sometimes there is one of each at a time. It lasts up
    to 5 seconds and is undone, and the cluster has to be steady again. The run stops when something acknowledged is
    lost, and shows the evidence. One seed gives the same faults in the same order; which requests they hit depends on
    the moment, so a loss may take several runs to be seen again. Each of the stores promises to lose nothing: redis-ha
    and redis-cluster run as with `up --durability every_write`.

    Exit status: 0 nothing was lost; 1 something was, or there was too little data, or an error; 2 wrong usage; 130
    stopped by Ctrl-C.
    """
    seed = secrets.randbelow(2**32) if seed is None else seed
    folder = out or Path("results", time.strftime("random-%Y%m%d-%H%M%S"))
    if wait[0] > wait[1]:
        raise click.BadParameter(f"must be two ascending numbers, not {wait[0]:g} {wait[1]:g}", param_hint="--wait")
    given = f" --seconds {seconds:g}" if seconds else ""
    given += f" --operations {operations}" if operations else ""
    given += f" --wait {wait[0]:g} {wait[1]:g}" if wait != SuiteLoad.wait else ""
    seconds = seconds or (DAY if operations else 60.0)
    experiment = make_experiment(StoreKind(store), seed, seconds, users, operations or 0)
    replay = f"session-cluster failover random --store {store}{given} --seed {seed} --users {users}"
    suite = Suite(
        experiments=[experiment],
        load=SuiteLoad(users, wait),
        folder=folder,
        clusters={Place.LOCAL: choose_clusters(Place.LOCAL, NodeKind.FLASK, nginx, store_server)},
        command=replay,
    )
    prepare(folder)
    console = Console(highlight=False)
    phases = experiment.variants[0].phases
    count, about = len(describe(phases)), Schedule(phases, Status("", 1, 1)).seconds
    until = f", or until {operations:,} operations are checked" if operations else ""
    console.print(f"Seed {seed}: {count:,} fault{'s' if count > 1 else ''}, in all about {about:.0f} s{until}.")
    results, status = run_suite(
        suite,
        console,
        lambda results: show_random(results[0], phases),
        report=f"Random faults on {store}",
        stopped="runs; the fault is undone, everything has ended",
        broken="runs were not as predicted",
    )
    if results:
        console.print(f"Replay: {replay}", soft_wrap=True, markup=False)
    sys.exit(status)


def leave_out(suite: Suite, place: Place, names: Sequence[str], reason: str) -> Suite:
    """Return the suite without runs in this place. Raises ClickException if nothing is left of a named experiment."""
    rest = replace(suite, clusters={other: make for other, make in suite.clusters.items() if other != place})
    if gone := [name for name in names if name not in {case.experiment.name for case in rest.cases}]:
        raise click.ClickException(f"{gone[0]} cannot run: {reason}")
    count, need = suite.runs - rest.runs, "several machines" if place is Place.SWARM else "containers"
    click.echo(f"{count} run{'s' if count > 1 else ''} that need {need} are left out: {reason}", err=True)
    return rest


def _choose_variants(names: Sequence[tuple[str, str]]) -> dict[str, frozenset[str]]:
    """Return by experiment the names of the chosen variants; the empty set stands for all of them."""
    chosen: dict[str, set[str]] = {}
    for name, variant in names:
        require_known(name, BY_NAME, "experiment", "NAME")
        if variant:
            require_known(variant, [one.name for one in BY_NAME[name].variants], f"variant of {name}", "NAME")
        chosen.setdefault(name, set()).add(variant)
    return {name: frozenset() if "" in variants else frozenset(variants) for name, variants in chosen.items()}


def _choose(names: Sequence[str], everything: bool, places: Sequence[str], node: str) -> list[Experiment]:
    if everything and names:
        raise click.UsageError(f"--all and names exclude each other; leave out {' '.join(names)} or --all")
    if not everything and not names:
        raise click.UsageError("name an experiment, or give --all; `session-cluster failover list` names them")
    for name in names:
        if not set(places) & set(BY_NAME[name].places):
            only = ", ".join(BY_NAME[name].places)
            raise click.BadParameter(f"{name} does not run on {places[0]}; it runs on {only}.", param_hint="--on")
        if node not in BY_NAME[name].nodes:
            others = ", ".join(one.name for one in EXPERIMENTS if node in one.nodes)
            raise click.BadParameter(f"{name} is for flask nodes alone; {node} has {others}.", param_hint="--node")
    possible = [one for one in EXPERIMENTS if set(places) & set(one.places) and node in one.nodes]
    return [one for one in possible if everything or one.name in names]


@click.command(short_help="Write a page with all results in a folder.")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--title", metavar="TEXT", help=f"Title of the page.  [default: {TITLE}]")
@click.option(
    "--choosing",
    "guide",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Also write the guide to stores and balancing policies with these figures, and those of matrices in DIR.",
)
def report(folder: Path, title: str | None, guide: Path | None) -> None:
    """Write DIR/report.html, results.json and results.md from the results in DIR, as each run does at its end.

    The page opens offline: plots and style are in it. results.json has everything; results.md has sentences and a table
    for a pull request. --choosing writes the guide of docs/choosing.md with your own figures, also those of
    `session-cluster load --matrix --out DIR/NAME`.

    Exit status: 0 written; 1 there are no results, or one is damaged, or the page cannot be written; 2 wrong usage.
    """
    with in_one_line(ValueError):
        with writing(folder):
            path = write_report(folder, title or TITLE)
        if guide is not None:
            with writing(guide):
                guide.write_text(render_guide(folder), encoding="utf-8")
    click.echo(path)
    if guide is not None:
        click.echo(guide)
