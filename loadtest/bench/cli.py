"""`session-cluster bench`."""

from __future__ import annotations

from pathlib import Path

import click

from deploy.files import write_json
from deploy.local.revision import EARLIER
from loadtest.bench.servers import APPLICATIONS, BenchError, Servers
from loadtest.cli.shared import in_one_line, json_option, require_writable, stoppable, writing

_NAMES = [application.name for application in APPLICATIONS]


@click.command(
    short_help="Measure what a session costs, beside Flask-Session and express-session.",
    context_settings={"show_default": True},
)
@click.option(
    "--requests",
    type=click.IntRange(20, 1_000_000),
    default=2000,
    metavar="N",
    help="Number of requests of each measurement.",
)
@click.option(
    "--repeat", type=click.IntRange(1, 100), default=5, metavar="N", help="How often each application is measured."
)
@click.option(
    "--only",
    "names",
    multiple=True,
    type=click.Choice(_NAMES),
    metavar="NAME",
    help=f"Measure only this application and its framework; may be repeated. One of {', '.join(_NAMES)}."
    f" {EARLIER} is the version before 0.2.",
)
@click.option(
    "--connections",
    type=click.IntRange(1, 64),
    multiple=True,
    default=(4, 1),
    metavar="N",
    help="Number of clients that send in parallel; may be repeated, to measure with each number.",
)
@json_option("Write every sample to FILE.")
def bench(
    requests: int, repeat: int, names: tuple[str, ...], connections: tuple[int, ...], record: Path | None
) -> None:
    """Measure the CPU time of a request that reads its session, writes it, does not use it, or has none.

    The same small application runs under the same gunicorn worker with this session layer on several stores, with
    Flask-Session and without sessions, and under Node.js with express-session and without. In a git checkout with its
    history, this layer and a whole node are compared with those of the version before 0.2. All share one Redis, start
    together, are warmed up (Express with 2,400 requests, for V8's compiler) and measured in turns, several times. A
    session has 5 fields with 300 bytes. The tables have medians, with half of the range after ±. Below them are the
    ratios for which this project has a goal, each with the quartiles of its repetitions.

    It takes about twelve minutes, says how much is left, runs on 127.0.0.1 and leaves nothing behind.

    Exit status: 0 measured; 1 an error; 2 wrong usage; 130 stopped by Ctrl-C.
    """
    from redis import RedisError
    from rich.console import Console

    from deploy import ClusterError
    from deploy.local.revision import find_lack
    from loadtest.bench.measure import measure_all
    from loadtest.bench.table import list_programs, tables, to_json
    from loadtest.progress import ProgressLine, Status
    from loadtest.results import describe_machine
    from loadtest.targets.install import InstallError, install_express

    console = Console()
    require_writable(record)
    if requests < max(connections):
        raise click.UsageError(
            f"--requests must be at least the number of connections ({max(connections)}), not {requests}"
        )
    bases = {one.base for one in APPLICATIONS if one.name in names}  # the others are compared with them
    chosen = [one for one in APPLICATIONS if not names or one.name in names or one.name in bases]
    missing: dict[str, str] = {}
    errors = (BenchError, ClusterError, OSError, RedisError)
    with in_one_line(*errors), stoppable(console), ProgressLine(console) as line:
        if not all(one.is_flask for one in chosen):
            line(Status("start", 0, repeat, "packages of Express"))
            try:
                install_express()
            except InstallError as error:
                missing = {one.name: str(error) for one in chosen if not one.is_flask}
        line(Status("start", 0, repeat, "servers"))
        missing |= {one.name: why for one in chosen if one.revision and (why := find_lack(one.revision))}
        with Servers(one for one in chosen if one.name not in missing) as servers:
            measured = measure_all(servers.running, requests, repeat, connections, line)
            sizes = {
                one.application.name: servers.session_bytes(one.application.database)
                for one in servers.running
                if one.application.database is not None and not one.application.is_node
            }
    machine, programs = describe_machine(), list_programs(servers.versions)
    console.print(tables(measured, sizes, missing))
    where = [machine["cpu"], f"{machine['cores']} cores", f"{machine['system']} {machine['release']}"]
    what = (f"{name} {version}" for name, version in programs.items())
    console.print(f"measured on {', '.join((*where, *what))}", highlight=False, markup=False)
    if record is not None:
        document = {
            "requests": requests,
            "repeat": repeat,
            "connections": connections,
            "machine": machine | programs,
            **to_json(measured, sizes, missing),
        }
        with writing(record):
            write_json(record, document)
