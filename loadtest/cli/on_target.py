"""Experiments on a target that a file describes: which ones fit, and why others do not."""

from collections.abc import Collection, Mapping
from pathlib import Path

import click
from rich.console import Console

from deploy import ClusterError
from loadtest.cli.shared import in_one_line
from loadtest.described.description import read_description
from loadtest.described.fit import Fit, fit
from loadtest.described.make_runtime import make_cluster
from loadtest.described.target import DescribedTarget
from loadtest.described.toml import DescriptionError
from loadtest.experiments import EXPERIMENTS
from loadtest.report.tables import Column, Table
from loadtest.target import TargetError

target_option = click.option(
    "--target",
    "file",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Use the web application that FILE describes (docs/targets.md), in place of clusters of this project.",
)


def open_target(path: Path) -> DescribedTarget:
    """Return the target that a file describes; it is not started. Raises ClickException."""
    with in_one_line(DescriptionError, ClusterError, TargetError):
        description = read_description(path)
        cluster = make_cluster(description)
        if cluster is not None:
            cluster.check()
        return DescribedTarget(description, cluster)


def choose_fitting(target: DescribedTarget, variants: Mapping[str, Collection[str]]) -> Fit:
    """Return the experiments of these names, or without names all that fit. Raises ClickException with a line for each
    named one that does not."""
    chosen = [one for one in EXPERIMENTS if not variants or one.name in variants]
    with in_one_line(ClusterError):
        found = fit(chosen, target, variants)
    named = {name: why for name, why in found.refused.items() if name in variants or name.partition(".")[0] in variants}
    refused = {name: why for name, why in named.items() if name in variants or variants[name.partition(".")[0]]}
    if refused:
        raise click.ClickException("\n".join(f"{name} cannot run: {why}" for name, why in refused.items()))
    if not found.experiments:
        raise click.ClickException(f"no experiment can run: {next(iter(found.refused.values()))}")
    return found


def list_fitting(target: DescribedTarget, console: Console) -> None:
    """Print each experiment with what it does to this target, or why it can't."""
    with in_one_line(ClusterError):
        found = fit(EXPERIMENTS, target, {})
    fitting = {one.name: one for one in found.experiments}
    columns = [Column(""), Column("name", number=False), Column("", number=False)]
    table = Table([*columns, Column("on this target", number=False, flexible=True)], gap=1)
    for experiment in EXPERIMENTS:
        one = fitting.get(experiment.name)
        if one is None:
            said = found.refused[experiment.name]
        else:
            faults = dict.fromkeys(
                fault.what for variant in one.variants
                for fault in (variant.fault, *(phase.fault for phase in variant.phases)) if fault.seconds
            )  # fmt: skip
            said = ", ".join(faults) or "load alone"
        table.add([str(experiment.number), experiment.name, "no:" if one is None else "yes", said])
    console.print(table.render())
    if (cluster := target.cluster) is not None:
        members = ", ".join(map(cluster.show, cluster.own_names()))
        console.print(f"\nMembers: {members}", markup=False, highlight=False)
    if target.lacks:
        console.print("\nNot looked for:")
        for what, why in target.lacks.items():
            console.print(f"  {what}: {why}", markup=False, highlight=False)
