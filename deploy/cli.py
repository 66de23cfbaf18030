"""`session-cluster up`: a cluster of local processes, in the foreground."""

import os
import shlex
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click
import psutil
from click.core import ParameterSource
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deploy.cluster import Member, MemberState
from deploy.local.cluster import LocalCluster
from deploy.local.servers import NodeApplication
from deploy.local.state import DESCRIPTION, find_running
from deploy.ports import require_free
from deploy.signals import Interrupted, interruptible
from deploy.spec import (
    MOST_NODES,
    MOST_WORKERS,
    ClusterError,
    ClusterSpec,
    NodeKind,
    SpecError,
    StoreKind,
    StoreSettings,
    parse_balance,
)
from nodes.sessions import Durability
from proxy import Balance
from proxy.cli import UsageError
from proxy.settings import did_you_mean

PAGE_PORT = 8090
_POLL = 0.3

MakeLocalCluster = Callable[[ClusterSpec], LocalCluster]


@dataclass(frozen=True)
class Additions:
    """The context object of Click, in which the command line gives `up` what this package does not know.

    `make_application` makes the application of nodes that are not NodeKind.FLASK, or raises ClusterError. `serve_page`
    runs a cluster of this spec with the console's page at a port until a signal; it makes another cluster when a person
    changes the store there, and calls the last argument with each that runs.
    """

    make_application: Callable[[NodeKind], NodeApplication | None]
    serve_page: Callable[[ClusterSpec, MakeLocalCluster, int, Callable[[LocalCluster], None]], None]


Command = TypeVar("Command", bound=Callable[..., Any])


def find_given() -> set[str]:
    """Return the parameters of the present command that are not defaults."""
    context = click.get_current_context()
    return {name for name in context.params if context.get_parameter_source(name) is not ParameterSource.DEFAULT}


def cluster_options(command: Command) -> Command:
    """Add --store, --node and --balance. Parse their values with `StoreKind`, `NodeKind` and `parse_balance`."""
    store, node, balance = (", ".join(kinds) for kinds in (StoreKind, NodeKind, Balance))
    return _add(
        command,
        ("--store", StoreKind.REDIS.value, "STORE", f"Where sessions are kept: {store}."),
        ("--node", NodeKind.FLASK.value, "KIND", f"Application of the nodes: {node}."),
        ("--balance", Balance.ROUND_ROBIN.value, "POLICY", f"Balancing policy: {balance}."),
    )


def program_options(command: Command) -> Command:
    """Add --nginx and --store-server: the programs of local clusters."""
    # Texts and not paths: ./nginx is a file of this folder, nginx is looked up in PATH.
    return _add(
        command,
        ("--nginx", None, "PATH", "Use this nginx instead of the embedded one."),
        (
            "--store-server",
            None,
            "PATH",
            "Use this redis-server or valkey-server (6.2 or later) instead of the embedded one.",
        ),
    )


def _add(command: Command, *options: tuple[str, str | None, str, str]) -> Command:
    """Add options: name, default, metavar, help."""
    for name, default, metavar, text in reversed(options):
        command = click.option(name, default=default, metavar=metavar, show_default=True, help=text)(command)
    return command


@click.command(context_settings={"show_default": True})
@click.option("--nodes", type=int, default=3, metavar="N", help=f"Number of nodes, 1 to {MOST_NODES}.")
@click.option(
    "--workers", type=int, default=1, metavar="N", help=f"Worker processes of each node, 1 to {MOST_WORKERS}."
)
@cluster_options
@click.option(
    "--durability",
    default=Durability.PRIMARY.value,
    metavar="WRITES",
    help="Writes that wait for a replica, with redis-ha and redis-cluster: primary (none), revocations (logouts), or"
    " every_write. In compose.yaml it is STORE_DURABILITY.",
)
@click.option(
    "--app",
    "application",
    default="",
    metavar="MODULE:NAME",
    show_default=False,
    help="Serve this WSGI application of the current folder in place of the shop.",
)
@click.option(
    "--port", type=int, default=8080, metavar="PORT", help="Port of the proxy on 127.0.0.1; 0 chooses a free one."
)
@click.option(
    "--console",
    "page_port",
    type=click.IntRange(0, 65535),
    is_flag=False,
    flag_value=PAGE_PORT,
    show_default=False,
    metavar="[PORT]",
    help=f"Serve a page on 127.0.0.1 to watch and break the cluster; without PORT on {PAGE_PORT}.",
)
@click.option("--tls", is_flag=True, show_default=False, help="Serve https, with a certificate made for this cluster.")
@click.option(
    "--state",
    "state_dir",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder for cluster.json and the logs; the logs stay afterwards.  [default: a temporary folder]",
)
@program_options
@click.pass_obj
def up(
    additions: Additions,
    *,
    nodes: int,
    workers: int,
    store: str,
    node: str,
    balance: str,
    durability: str,
    application: str,
    port: int,
    page_port: int | None,
    tls: bool,
    state_dir: Path | None,
    nginx: str | None,
    store_server: str | None,
) -> None:
    """Run a cluster until Ctrl-C.

    Starts nginx, the nodes and the store as processes of this machine, and prints the address, the users and their
    password. Ctrl-C (or SIGTERM) stops everything. No process outlives this command, even if it is killed.

    With --app, the nodes serve a WSGI application of the current folder, such as shop:app or shop:create_app(), which
    gets the cluster's sessions by `Sessions.from_environment(app)`. It has all variables of this command's environment.

    With --state DIR, DIR/cluster.json has the address and the users for scripts, and the name, address, pid and log of
    each process. While the cluster runs, processes that end are reported.

    With --console, a page whose address it prints shows the cluster and breaks it; `session-cluster console` puts users
    on it, too. docs/console.md explains both.

    \b
    Stores of the sessions:
      memory         each worker process has its own
      file           files in one folder
      sql            SQLite
      redis          one Redis or Valkey
      redis-ha       a primary, two replicas and three Sentinels
      redis-cluster  three primaries, each with a replica
      express        one Redis or Valkey, in express-session's format

    \b
    Balancing policies:
      round_robin    nodes take turns
      least_conn     the node with the fewest open requests
      random_two     the less busy of two random nodes
      ip_hash        by the client's address
      hash           by the session cookie
      sticky         a cookie of the proxy's own keeps a browser at its node

    Exit status: 128 and the number of the signal that stopped it: 130 for Ctrl-C (never 0); 1 an error; 2 wrong usage.
    A signal that is ignored from the start, as by nohup, does not stop it.
    """
    console = Console(highlight=False)

    def make(spec: ClusterSpec) -> LocalCluster:
        return LocalCluster(spec, state_dir, nginx, store_server, additions.make_application(spec.node))

    with errors_in_one_line(console):
        spec = ClusterSpec(
            nodes=nodes,
            workers=workers,
            node=NodeKind.parse(node),
            application=application,
            store=StoreKind.parse(store),
            store_settings=_store_settings(StoreKind.parse(store), durability),
            balance=parse_balance(balance),
            port=port,
            tls=tls,
        )
        cluster = make(spec)
        with interruptible(), ExitStack() as running:
            if page_port is not None:
                require_free(page_port, "--console")
                additions.serve_page(spec, make, page_port, lambda cluster: _introduce(console, cluster))
                return
            with console.status("starting"):
                running.enter_context(cluster)
            _introduce(console, cluster)
            _watch(console, cluster)


@contextmanager
def errors_in_one_line(console: Console) -> Iterator[None]:
    """End a command with the error of the block in one line, or with the number of the signal that stopped it."""
    try:
        yield
    except SpecError as error:
        raise UsageError(error) from error
    except ClusterError as error:
        raise click.ClickException(str(error)) from error
    except Interrupted as interrupted:
        console.print("stopped", style="dim")
        raise SystemExit(128 + interrupted.number) from None


def _store_settings(store: StoreKind, text: str) -> StoreSettings:
    """Return the settings for this durability. Its servers keep their data over a restart, as in containers."""
    names = [each.value for each in Durability]
    if text not in names:
        raise SpecError(f"unknown durability {text!r}: {did_you_mean(text, names)}")
    if text == Durability.PRIMARY.value:
        return StoreSettings()
    if not store.has_several_servers:
        raise SpecError(f"durability {text} needs replicas: use it with store redis-ha or redis-cluster")
    return StoreSettings(durability=Durability(text), append_only=True)


@click.command(short_help="Kill a node, the store or the proxy of a running cluster.")
@click.argument("name")
@click.option(
    "--state",
    "state_dir",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder that `up --state` was given.  [default: that of the only cluster]",
)
def kill(name: str, state_dir: Path | None) -> None:
    """Kill a node, the store or the proxy of a cluster that `session-cluster up` runs: SIGKILL to all its processes.

    NAME is a name that `up` prints, such as node-2.

    Exit status: 0 it was killed; 1 the process or the cluster was not found, or several clusters run; 2 wrong usage.
    """
    running = find_running(state_dir)
    if len(running) != 1:
        folders = ", ".join(map(str, running))
        none = "no cluster runs" + (f" with --state {state_dir}" if state_dir else "")
        raise click.ClickException(f"several clusters run; name one with --state: {folders}" if running else none)
    (cluster,) = running.values()
    pids = {member.name: member.pid for member in cluster.processes}
    if name not in pids:
        raise click.ClickException(f"the cluster at {cluster.url} has no {name}; it has {', '.join(pids)}")
    pid, parents = pids[name], []
    with suppress(psutil.NoSuchProcess):
        parents = [] if pid is None else [parent.pid for parent in psutil.Process(pid).parents()]
    if pid is None or cluster.pid not in parents:  # the number may be another program's by now
        raise click.ClickException(f"{name} has ended already")
    os.killpg(pid, signal.SIGKILL)
    click.echo(f"killed {name} of the cluster at {cluster.url}")


def _introduce(console: Console, cluster: LocalCluster) -> None:
    spec = cluster.spec
    workers = f" of {spec.workers} workers" if spec.workers > 1 else ""
    kind = "" if spec.node is NodeKind.FLASK else f"{spec.node} "
    users = {"users": escape(", ".join(cluster.users)), "password": f"[bold]{next(iter(cluster.users.values()))}[/]"}
    facts = {
        **({"application": escape(spec.application)} if spec.application else users),
        "cluster": f"{spec.nodes} {kind}nodes{workers}, sessions in {spec.store}, balancing {spec.balance}",
        **({"trust": escape(str(cluster.authority))} if cluster.authority else {}),
        "logs": escape(str(cluster.state_dir / "logs")),
        "for scripts": escape(str(cluster.state_dir / DESCRIPTION)),
    }
    console.print(f"Open [bold]{cluster.url}[/]\n")
    for what, value in facts.items():
        console.print(f"[dim]{what:<13}[/]{value}", soft_wrap=True)
    if (warning := spec.affinity_warning) is not None:
        console.print(f"[yellow]{warning}[/]", soft_wrap=True)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("process", "pid", "address", "log"):
        table.add_column(column, justify="right" if column == "pid" else "left")
    for member in cluster.members():
        table.add_row(member.name, str(member.pid), member.address, Path(member.log).name)
    console.print()
    console.print(table)
    ends = escape(f"`{kill_command(cluster.state_dir)}` kills one of them. Ctrl-C stops all of it.")
    console.print(f"\n{ends}", style="dim", soft_wrap=True)


def kill_command(state_dir: Path) -> str:
    """Return the command that kills a node of this cluster: with `--state` unless `kill` finds it, and no other one."""
    which = [] if find_running(None).keys() == {state_dir} else ["--state", str(state_dir)]
    return shlex.join(["session-cluster", "kill", "node-2", *which])


def _watch(console: Console, cluster: LocalCluster) -> None:
    """Report each process that ends or is paused, until a signal comes."""
    known = {member.name: member.state for member in cluster.members()}
    while True:
        time.sleep(_POLL)
        for member in cluster.members():
            if member.state is not known[member.name]:
                known[member.name] = member.state
                console.print(_report(member))


def _report(member: Member) -> str:
    now = time.strftime("%H:%M:%S")
    if member.state is MemberState.ENDED:
        return f"{now}  [red]{member.name} ended[/]  (log: {Path(member.log).name})"
    return f"{now}  [yellow]{member.name} is {member.state}[/]"
