"""`session-cluster capacity`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from deploy.cli import find_given, program_options
from deploy.files import write_json
from loadtest.capacity.quantities import parse_count, parse_duration
from loadtest.cli.shared import Number, in_one_line, json_option, require_writable, stoppable, writing

STORES = ("redis", "redis-cluster", "sql")
_LEAST_SIZE = 1000


class Quantity(click.ParamType[Any]):
    """A number as people write it."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name, self._parse = name, parse

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        try:
            return self._parse(value) if isinstance(value, str) else value
        except ValueError as error:
            self.fail(str(error), parameter, context)


def _parse_sizes(text: str) -> tuple[int, ...]:
    if text == "usual":
        return ()
    sizes = tuple(parse_count(part, _LEAST_SIZE, 10**7) for part in text.split(","))
    if len(sizes) != 2 or sizes[0] >= sizes[1]:
        raise ValueError(f"must be two ascending sizes, such as 120k,400k, not {text!r}")
    return sizes


_MEASURING = {
    "store": "--store",
    "data_bytes": "--bytes",
    "quick": "--quick",
    "sizes": "--check",
    "nginx": "--nginx",
    "store_server": "--store-server",
}
"""Parameters that say what is measured, and how: the option of each."""


def _require_zones(store: str, zones: int, replicas: int) -> None:
    if store != "sql" and replicas >= zones:
        raise click.UsageError(
            f"--replicas must be below the number of zones ({zones}), not {replicas}: each copy has its own"
        )


COUNT = Quantity("count", parse_count)


@click.command(
    short_help="Measure what sessions cost here, and plan a cluster from it.", context_settings={"show_default": True}
)
@click.option(
    "--sessions", type=COUNT, required=True, metavar="N", help="Number of stored sessions, such as 100M or 5k."
)
@click.option(
    "--active", type=COUNT, required=True, metavar="N", help="Number of active users at the busiest time, such as 5M."
)
@click.option(
    "--rate", type=Number(0.0001, 1000), required=True, metavar="R", help="Requests per second of each active user."
)
@click.option(
    "--store",
    type=click.Choice(STORES),
    default="redis",
    metavar="STORE",
    help=f"Where sessions are kept: {', '.join(STORES)}.",
)
@click.option("--writes", type=Number(0, 1), default=0.25, metavar="SHARE", help="Share of requests that write.")
@click.option(
    "--stay",
    type=Quantity("duration", lambda text: parse_duration(text, 60, 86_400 * 1000)),
    default="30d",
    metavar="TIME",
    help="How long a session is stored on average, such as 12h or 30d. Each session begins with a login.",
)
@click.option(
    "--bytes",
    "data_bytes",
    type=click.IntRange(100, 5000),
    default=300,
    metavar="N",
    help="Bytes of data in a session.",
)
@click.option("--zones", type=click.IntRange(2, 10), default=3, metavar="N", help="Zones, of which one may be lost.")
@click.option(
    "--cores", type=click.IntRange(1, 256), default=4, metavar="N", help="Cores of each node and of each proxy."
)
@click.option(
    "--memory",
    type=Quantity("bytes", lambda text: parse_count(text, 10**8, 10**13)),
    default="16G",
    metavar="BYTES",
    help="Memory of each machine of the store, such as 16G.",
)
@click.option(
    "--replicas",
    type=click.IntRange(0, 5),
    default=2,
    metavar="N",
    help="Replicas of each primary; with 0 a lost zone takes sessions with it.",
)
@click.option(
    "--check",
    "sizes",
    type=Quantity("sizes", _parse_sizes),
    is_flag=False,
    flag_value="usual",
    metavar="[SIZES]",
    help="Verify the prediction at two other sizes, ascending, such as 120k,400k sessions; without SIZES at 0.6 and 2"
    " times the larger measured one.",
)
@click.option(
    "--quick",
    is_flag=True,
    show_default=False,
    help="Measure with smaller stores and fewer requests: a first look, less exact.",
)
@json_option("Write the sheet and every sample to FILE.")
@click.option(
    "--from",
    "earlier",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Plan with the figures that an earlier run wrote with --json, without measuring. FILE names the store, too.",
)
@program_options
def capacity(
    sizes: tuple[int, ...] | None,
    store: str,
    data_bytes: int,
    quick: bool,
    record: Path | None,
    earlier: Path | None,
    store_server: str | None,
    nginx: str | None,
    **given: Any,
) -> None:
    """Measure what a session and a request cost on this machine, and print a sheet of what a cluster for many of
    them needs.

    It starts a cluster of one node, fills its store with copies of a session that the node wrote, and measures the
    memory of the server for each session, the CPU time of proxy, node and store for each request, and how long a
    replica copies its primary. That takes at most two minutes. The sheet has nodes, cores, shards, memory, replicas and
    network, with one zone lost at the peak. Each figure has its source; the last lines say what limits first and what
    the sheet is not valid for. docs/capacity.md works through 1M, 10M and 100M sessions.

    It computes by the utilisation law, from the CPU time of each request. Throughput is not measured: on shared cores
    it describes the machine, not the cluster.

    --check fills two more stores with sessions and measures them, too: the memory has to be within 10 % of the
    prediction, and the CPU time of a request within 20 %. It takes some minutes more.

    \b
    Examples:
      session-cluster capacity --sessions 1M --active 50k --rate 0.03
      session-cluster capacity --sessions 100M --active 5M --rate 0.03 \\
          --store redis-cluster --check --json capacity.json

    Exit status: 0 the store carries it, and with --check the prediction holds; 1 it does not, or an error; 2 wrong
    usage; 130 stopped by Ctrl-C.
    """
    # SQLAlchemy and the library take a quarter of a second, which other commands should not wait for.
    from rich.console import Console

    from loadtest.capacity.check import show_check, to_json
    from loadtest.capacity.plan import ExpectedLoad
    from loadtest.capacity.run import CapacityError, Options, describe, plan_from, plan_here
    from loadtest.capacity.sheet import make_record, show_sheet

    console = Console(highlight=False)
    workload = ExpectedLoad(
        sessions=given["sessions"],
        active=given["active"],
        rate=given["rate"],
        writes=given["writes"],
        stay=given["stay"],
        zones=given["zones"],
        node_cores=given["cores"],
        primary_memory=given["memory"],
        replicas=given["replicas"],
    )
    if workload.active > workload.sessions:
        raise click.UsageError(
            f"--active must be at most the number of sessions ({workload.sessions:,}), not {workload.active:,}"
        )
    if earlier is not None and (measuring := [_MEASURING[name] for name in _MEASURING if name in find_given()]):
        raise click.UsageError(f"--from measures nothing, and has its store; leave out {' and '.join(measuring)}")
    if earlier is None:
        _require_zones(store, workload.zones, workload.replicas)
    require_writable(record)
    options = Options(store, data_bytes, quick, sizes, nginx, store_server)
    with in_one_line(CapacityError), stoppable(console):
        plan, machine, predictions = plan_from(earlier, workload) if earlier else plan_here(workload, options, console)
    _require_zones(plan.store, workload.zones, workload.replicas)
    console.print(show_sheet(plan, describe(plan, machine)))
    if predictions:
        console.print()
        console.print(show_check(predictions))
    if record is not None:
        with writing(record):
            write_json(record, {**make_record(plan, machine), "check": to_json(predictions)})
    raise SystemExit(int(not plan.carries or not all(one.holds for one in predictions)))
