"""`session-cluster capacity`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from deploy.cli import program_options
from deploy.files import write_json
from deploy.signals import interruptible
from loadtest.capacity.quantities import parse_count, parse_duration
from loadtest.cli.shared import INTERRUPTED, Number, json_option, require_writable, writing

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


COUNT = Quantity("count", parse_count)


@click.command(
    short_help="Measure what sessions cost here, and plan a cluster from it.", context_settings={"show_default": True}
)
@click.option("--sessions", type=COUNT, required=True, metavar="N", help="Sessions that are stored: 100M, 5k.")
@click.option("--active", type=COUNT, required=True, metavar="N", help="Users that are active at the busiest time.")
@click.option(
    "--rate", type=Number(0.0001, 1000), required=True, metavar="R", help="Requests a second of each active user."
)
@click.option(
    "--store", type=click.Choice(STORES), default="redis", metavar="STORE", help=f"One of {', '.join(STORES)}."
)
@click.option("--writes", type=Number(0, 1), default=0.25, metavar="SHARE", help="Share of requests that write.")
@click.option(
    "--stay",
    type=Quantity("duration", lambda text: parse_duration(text, 60, 86_400 * 1000)),
    default="30d",
    metavar="TIME",
    help="How long a session is stored, on average. Each begins with a login.",
)
@click.option(
    "--bytes", "data_bytes", type=click.IntRange(100, 5000), default=300, metavar="N", help="Data in a session."
)
@click.option("--zones", type=click.IntRange(2, 10), default=3, metavar="N", help="Zones, of which one may be lost.")
@click.option("--cores", type=click.IntRange(1, 256), default=4, metavar="N", help="Cores of a node and of a proxy.")
@click.option(
    "--memory",
    type=Quantity("bytes", lambda text: parse_count(text, 10**8, 10**13)),
    default="16G",
    metavar="BYTES",
    help="Memory of a machine of the store.",
)
@click.option("--replicas", type=click.IntRange(0, 5), default=2, metavar="N", help="Replicas of each primary.")
@click.option(
    "--check",
    "sizes",
    type=Quantity("sizes", _parse_sizes),
    is_flag=False,
    flag_value="usual",
    metavar="[SIZES]",
    help="Verify the prediction at two sizes that it was not fitted to; without SIZES at 0.6 and 2 times the largest.",
)
@click.option(
    "--quick", is_flag=True, show_default=False, help="A first look: smaller stores, fewer requests, less exact."
)
@json_option("Write the sheet and every sample to FILE.")
@program_options
def capacity(
    sizes: tuple[int, ...] | None,
    store: str,
    data_bytes: int,
    quick: bool,
    record: Path | None,
    store_server: str | None,
    nginx: str | None,
    **given: Any,
) -> None:
    """Measure what a session and a request cost on this machine, and print what a cluster for many of them needs.

    It starts a cluster of one node, fills its store with copies of a session that the node wrote, and measures the
    memory of the server for each session, the CPU time of proxy, node and store for each request, and how long a
    replica copies its primary. That takes at most two minutes. The sheet has nodes, cores, shards, memory, replicas and
    network, with one zone lost at the peak. Each figure has its source; the last lines say what limits first and what
    the sheet is not valid for. docs/capacity.md works through 1M, 10M and 100M sessions.

    It computes by the utilisation law, from CPU time for each request. It fits no throughput: on shared cores that
    describes the machine, not the cluster.

    --check fills two more stores with sessions and compares: memory within 10 %, CPU of a request within 20 %, medians
    of runs in turns. It takes some minutes more.

    \b
    Examples:
      session-cluster capacity --sessions 1M --active 50k --rate 0.03
      session-cluster capacity --sessions 100M --active 5M --rate 0.03 \\
          --store redis-cluster --check --json capacity.json

    Exit status: 0 the store carries it, and with --check the prediction holds; 1 it does not, or there was an error (in
    one line); 2 wrong usage; 130 stopped by Ctrl-C.
    """
    from rich.console import Console

    from loadtest.capacity.plan import ExpectedLoad

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
        raise click.UsageError(f"--active must be at most the number of sessions, {workload.sessions:,}")
    if store != "sql" and workload.replicas >= workload.zones:
        raise click.UsageError(f"--replicas must be below the number of zones, {workload.zones}: each copy has its own")
    require_writable(record)
    try:
        with interruptible():
            status = _run(workload, store, data_bytes, sizes, quick, record, nginx, store_server, console)
    except KeyboardInterrupt:
        console.print("stopped; everything has been ended")
        status = INTERRUPTED
    raise SystemExit(status)


def _run(
    workload: Any,
    store: str,
    data_bytes: int,
    sizes: tuple[int, ...] | None,
    quick: bool,
    record: Path | None,
    nginx: str | None,
    store_server: str | None,
    console: Any,
) -> int:
    from redis import RedisError
    from sqlalchemy.exc import SQLAlchemyError

    from deploy import ClusterError
    from loadtest.capacity import check as checks
    from loadtest.capacity.measure import QUICK, Effort, measure
    from loadtest.capacity.plan import CapacityPlan
    from loadtest.capacity.sheet import make_record, show_sheet
    from loadtest.capacity.testbed import Testbed
    from loadtest.progress import ProgressLine, Status
    from loadtest.results import describe_machine
    from proxy.nginx import NginxError

    effort = QUICK if quick else Effort()
    predictions: tuple[checks.Prediction, ...] = ()
    line_status = Status(store, 1, 1 if sizes is None else 2)

    def make_bed() -> Testbed:
        return Testbed(store, data_bytes, nginx, store_server)

    try:
        with ProgressLine(console) as line:

            def watch(stage: str, next_stage: str) -> None:
                line_status.enter(stage, next_stage)
                line(line_status)

            watch("starts a cluster", "fills the store")
            with make_bed() as bed:
                figures, memory = measure(bed, effort, watch)
                if sizes is not None:
                    line_status.number = 2
                    chosen = sizes or checks.usual_sizes(figures.fitted)
                    others = [make_bed() for _ in chosen]
                    predictions = checks.check(bed, memory, others, chosen, workload.writes, effort, watch)
    except (ClusterError, NginxError, RedisError, SQLAlchemyError, OSError) as error:
        raise click.ClickException(str(error)) from error
    plan = CapacityPlan(workload, figures, store)
    machine = {**describe_machine(), **figures.versions, "at": time.strftime("%Y-%m-%d %H:%M:%S %z")}
    programs = ", ".join(f"{name} {version}" for name, version in figures.versions.items())
    where = f"{machine['cpu']}, {machine['cores']} cores, {machine['system']} {machine['release']}, {programs}"
    console.print(show_sheet(plan, f"{where}, {machine['at']}"))
    if sizes is not None:
        console.print()
        console.print(checks.show_check(predictions))
    if record is not None:
        with writing(record):
            write_json(record, {**make_record(plan, machine), "check": checks.to_json(predictions)})
    return int(not plan.carries or not all(one.holds for one in predictions))
