"""`session-cluster target`: describe an application of your own."""

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from deploy import ClusterError, NodeKind
from loadtest.cli.on_target import open_target
from loadtest.cli.shared import (
    choose_clusters,
    in_one_line,
    out_option,
    prepare,
    require_known,
    require_writable,
    stoppable,
    users_option,
    writing,
)
from loadtest.comparison import EXPERIMENTS, RUNS, Comparison, System
from loadtest.described.check import check_target
from loadtest.described.check_steps import TargetCheck
from loadtest.described.description import read_description
from loadtest.described.init import describe_compose
from loadtest.described.toml import DescriptionError
from loadtest.experiment import Place
from loadtest.experiments import BY_NAME
from loadtest.load import group_lacks
from loadtest.progress import ProgressLine
from loadtest.report.comparison import render_comparison
from loadtest.report.tables import Column, Table, show_experiments
from loadtest.results import Result
from loadtest.suite import FAILURES, SuiteLoad

SHORT = 0.5


@click.group(short_help="Describe an application of your own, to load and to break it.")
def target() -> None:
    """Describe a target in a TOML file: a web application with sessions, how a browser uses it, and how its servers are
    broken.

    The commands load, failover and console run on it with --target FILE. docs/targets.md explains every key.
    """


@target.command(short_help="Begin a target's file from a compose file.")
@click.argument("compose", metavar="COMPOSE", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write this file, which must be new.  [default: print it]",
)
def init(compose: Path, output: Path | None) -> None:
    """Print a commented TOML file for the services of a compose file, with what can be guessed.

    Roles come from images, commands, ports and names, the address from published ports, the session's cookie and the
    forms from the framework. Each guess is marked; for what can't be known a comment says how to find out. Docker need
    not run.

    Exit status: 0 written; 1 COMPOSE is not a compose file, or FILE exists; 2 wrong usage.
    """
    with in_one_line(DescriptionError):
        text = describe_compose(compose, output or Path("shop.toml"))
    if output is None:
        click.echo(text, nl=False)
        return
    with writing(output):
        try:
            with output.open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            raise click.ClickException(f"{output} exists; name a new file, or remove it") from None
    click.echo(f"{output}: correct what is marked as a guess, then run: session-cluster target check {output}")


@target.command(short_help="Compare targets with this project's nodes, in the same experiments.")
@click.argument("files", nargs=-1, metavar="[FILE]...", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--experiments",
    metavar="NAMES",
    default=",".join(EXPERIMENTS),
    help=f"Names of `session-cluster failover list`, with commas between them.  [default: {', '.join(EXPERIMENTS)}]",
)
@out_option("Folder for results; runs whose results it has are not repeated.  [default: results/comparison]")
@click.option(
    "--page",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the comparison as Markdown.",
)
@click.option(
    "--repeat",
    metavar="N",
    type=click.IntRange(1, 20),
    default=RUNS,
    show_default=True,
    help="Runs of each experiment on each system.",
)
@users_option(24, "Number of virtual users.")
@click.option("--full", is_flag=True, help="Run experiments in full length.  [default: half as long]")
def compare(
    files: tuple[Path, ...], experiments: str, out: Path | None, page: Path | None, repeat: int, users: int, full: bool
) -> None:
    """Run experiments on this project's nodes and on each target, one after another, and compare what is lost.

    --page writes a page: a table of experiments and targets, the reasons as far as they are known, and the command for
    each cell. Where a target does better than this project's nodes, the page says so first. Without a target nothing is
    run: the page is written from the results in --out.

    Exit status: 0 all was measured; 1 something could not be measured, or an error; 2 wrong usage; 130 stopped by
    Ctrl-C: the same command goes on.
    """
    names = [name.strip() for name in experiments.split(",")]
    for name in names:
        require_known(name, BY_NAME, "experiment", "--experiments")
    if not files and page is None:
        raise click.UsageError("Name the files of targets to measure, or --page for the results that are there.")
    require_writable(page)
    folder = out or Path("results", "comparison")
    prepare(folder)
    console, failed = Console(highlight=False), 0
    said = "stopped; everything has ended. The same command goes on."
    with in_one_line(DescriptionError, ClusterError, ValueError), stoppable(console, said):
        systems = [System(None, None), *(System(path, read_description(path)) for path in files)] if files else []
        share = 1.0 if full else SHORT
        options = f" --users {users}{'' if full else ' --short'}"
        make = choose_clusters(Place.LOCAL, NodeKind.FLASK, None, None)
        comparison = Comparison(systems, names, SuiteLoad(users, share=share), folder, make, options, repeat)
        with writing(folder):
            failed = _run(comparison, console)
        if page is not None:
            with writing(page):
                page.write_text(render_comparison(folder), encoding="utf-8")
            console.print(f"Comparison: {page}", soft_wrap=True, markup=False)
    sys.exit(int(failed > 0))


def _run(comparison: Comparison, console: Console) -> int:
    """Run what is missing, and show it. Return how many runs measured nothing."""
    results: Sequence[Result] = ()
    with ProgressLine(console) as line:
        for result in comparison.run(line):
            results = (*results, result)
    if results:
        console.print(show_experiments(results))
    return sum(result.findings is None for result in results)


@target.command(short_help="Send each request of a target's file once, and say what the answers show.")
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
def check(file: Path) -> None:
    """Send each request of FILE, in the order of a visit.

    A request has the name of its key in [requests]: look, login, look, count twice, read, add, look, login and
    look again, empty, look, logout, look, and a write. Where FILE has them, account and sessions come twice, as a
    visitor and as a user; password changes the password, and changes it back; end_others ends the session of another
    browser.

    The servers that [runtime] starts are ended afterwards. The table has each request, its answer and what that shows.
    Below it are the mistakes, each with its line in FILE, and what can't be found on this target: without a counter or
    a list no lost updates, without a logout no revived ones.

    Exit status: 0 all answers are as described; 1 one is not, or an error; 2 wrong usage; 130 stopped by Ctrl-C.
    """
    console = Console(highlight=False)
    described = open_target(file)
    with in_one_line(*FAILURES), stoppable(console), described.cluster or contextlib.nullcontext():
        found = check_target(described)
    _show_check(found, described.title, console)
    sys.exit(int(bool(found.mistakes)))


def _show_check(found: TargetCheck, title: str, console: Console) -> None:
    """Print the table of a check, and what it found, each in one line."""
    columns = ("", "", "request", "answer", "shows")
    table = Table([Column(name, number=False, flexible=name in columns[3:]) for name in columns])
    for step in found.steps:
        mark = Text("✗", "red") if step.complaint else Text("✓", "green")
        shows = Text(step.shows or step.complaint, "red" if step.complaint else "")
        table.add([mark, step.name, Text(step.sent), Text(step.answered), shows])
    lines = [Text(""), *(Text(line, "red") for line in found.mistakes)] if found.mistakes else []
    if lacking := group_lacks(found.missing):
        lines += [Text(""), Text("Can't be found here:", "bold")]
        lines += [Text(f"  {', '.join(kinds)}: {why}") for why, kinds in lacking.items()]
    if found.hints:
        lines += [Text(""), *(Text(f"  {hint}", "yellow") for hint in found.hints)]
    if not found.mistakes:
        lines += [Text(""), Text("All answers are as described.", "bold")]
    console.print(Text(title, "bold"), Text(""), table.render(), sep="\n")
    for line in lines:
        console.print(line, soft_wrap=True)
