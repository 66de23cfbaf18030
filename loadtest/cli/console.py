"""`session-cluster console`."""

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import click
from click.core import ParameterSource
from rich.console import Console as Terminal

from deploy import ClusterSpec, ComposeCluster, LocalCluster, StoreKind
from deploy.cli import PAGE_PORT, MakeLocalCluster, cluster_options, program_options
from deploy.ports import free_ports, require_free
from deploy.signals import interruptible
from deploy.spec import ClusterError, NodeKind, SpecError, parse_balance
from loadtest.cli.on_target import open_target, target_option
from loadtest.cli.shared import (
    INTERRUPTED,
    choose_clusters,
    out_option,
    place_option,
    require_place,
    temporary_folder,
    writing,
)
from loadtest.console.archive import Archive
from loadtest.console.board import Board
from loadtest.console.commands import MOST_NODES, MOST_USERS
from loadtest.console.director import Director, with_store
from loadtest.console.experiments import Experiments
from loadtest.console.sampler import Sampler
from loadtest.experiment import Place, cluster
from loadtest.suite import MakeCluster
from proxy.cli import UsageError

START_TIMEOUT = 30.0
_OF_OUR_CLUSTERS = frozenset({"nodes", "store", "balance", "node", "place", "nginx", "store_server"})


@click.command(short_help="Watch a cluster on a page, break it, and see what its users lose.")
@click.option(
    "--users",
    type=click.IntRange(0, MOST_USERS),
    default=20,
    metavar="N",
    show_default=True,
    help="Number of virtual users.",
)
@click.option(
    "--nodes", type=click.IntRange(1, MOST_NODES), default=3, metavar="N", show_default=True, help="Number of nodes."
)
@cluster_options
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=PAGE_PORT,
    metavar="PORT",
    show_default=True,
    help="Port of the page on 127.0.0.1; 0 chooses a free one.",
)
@place_option(Place.LOCAL.value, "Where the cluster runs: local (processes of this machine) or compose (containers).")
@program_options
@target_option
@out_option(
    "Folder for the history of each load and the results of experiments.  [default: no histories, and results in "
    "results/console-TIME]"
)
def console(**given: Any) -> None:
    """Start a cluster with users on it, and serve a page to watch and break it until Ctrl-C.

    The page is for this machine alone, and its address has a token. Members (nodes, proxy, servers of the store) can be
    killed, paused, drained and restarted; the number of nodes and users, the balancing policy, the store and the
    network to it can be changed; one button undoes all faults. The experiments of `session-cluster failover` run from
    the page, each on a cluster of its own. docs/console.md has its HTTP interface for scripts.

    With --target the cluster is your own: what [runtime] of its file can't do is disabled, with the reason. Servers
    that were running before are running again afterwards.

    Exit status: 130 stopped by Ctrl-C (never 0); 1 an error; 2 wrong usage.
    """
    terminal = Terminal(highlight=False)
    place = Place(given["place"])
    try:
        if given["file"] is not None:
            _serve_target(given, terminal)
            return
        clusters = choose_clusters(place, given["node"], given["nginx"], given["store_server"])
        require_place(place)
        port = given["port"] or free_ports(1)[0]
        require_free(port)
        kind, store = NodeKind.parse(given["node"]), StoreKind.parse(given["store"])
        (shop,) = free_ports(1)  # one for all clusters, so that the shop keeps its address
        spec = cluster(
            given["nodes"],
            store,
            parse_balance(given["balance"]),
            node=kind,
            port=shop,
            start_timeout=START_TIMEOUT if place is Place.LOCAL else 60.0,
        )
        with temporary_folder(given["out"]) as folder, writing(folder), interruptible():
            folder.mkdir(parents=True, exist_ok=True)
            board = Board()
            keep = given["out"] is not None
            experiments = Experiments(_list_places(place, clusters), Archive(folder) if keep else Archive.default())
            if place is Place.LOCAL and not given["nginx"] and not given["store_server"]:
                experiments.find_containers(ComposeCluster)
            director = Director(
                with_store(spec, store), given["users"], clusters, board, folder, keep=keep, experiments=experiments
            )
            _serve(board, director, port, place, terminal)
    except SpecError as error:
        raise UsageError(error) from error
    except ClusterError as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        terminal.print("stopped", style="dim")
        sys.exit(INTERRUPTED)


def _serve_target(given: dict[str, Any], terminal: Terminal) -> None:
    """Serve the page of a target until a signal raises KeyboardInterrupt."""
    context = click.get_current_context()
    for option in context.command.params:
        chosen = context.get_parameter_source(option.name or "") is ParameterSource.COMMANDLINE
        if chosen and option.name in _OF_OUR_CLUSTERS:
            raise click.UsageError(f"{option.opts[0]} is for a cluster of this project; leave it out with --target")
    target = open_target(given["file"])
    cluster = target.cluster
    if cluster is None:
        raise click.ClickException(f"{given['file']} has no runtime: `session-cluster load --target` needs none")
    port = given["port"] or free_ports(1)[0]
    require_free(port)
    keep = given["out"] is not None
    with temporary_folder(given["out"]) as folder, writing(folder), interruptible():
        folder.mkdir(parents=True, exist_ok=True)
        board, archive = Board(), Archive(folder) if keep else Archive.default()
        command = f"session-cluster failover run --target {given['file']} {{name}}"
        experiments = Experiments({}, archive, target, command)
        users = given["users"]
        director = Director(
            cluster.spec, users, lambda _: cluster, board, folder, keep=keep, experiments=experiments, target=target
        )
        _serve(board, director, port, Place.TARGET, terminal)


def serve_page(
    spec: ClusterSpec, make_cluster: MakeLocalCluster, port: int, started: Callable[[LocalCluster], None]
) -> None:
    """Serve the page of `up`, whose cluster has no load, until a signal raises KeyboardInterrupt."""
    with temporary_folder(None) as folder:
        board, port = Board(), port or free_ports(1)[0]
        fixed = spec if spec.port else replace(spec, port=free_ports(1)[0])
        processes = choose_clusters(Place.LOCAL, NodeKind.FLASK, None, None)  # not with the state of `up`
        experiments = Experiments({Place.LOCAL: processes}, Archive.default())
        director = Director(
            with_store(fixed, spec.store), None, make_cluster, board, folder, started=started, experiments=experiments
        )
        _serve(board, director, port, Place.LOCAL, Terminal(highlight=False))


def _list_places(place: Place, make_cluster: MakeCluster) -> dict[Place, MakeCluster]:
    """Return where experiments can run, the console's own place first: processes can run beside containers."""
    processes = choose_clusters(Place.LOCAL, NodeKind.FLASK, None, None)
    return {place: make_cluster, Place.LOCAL: make_cluster if place is Place.LOCAL else processes}


def _serve(board: Board, director: Director, port: int, place: Place, terminal: Terminal) -> None:
    """Serve until a signal raises KeyboardInterrupt."""
    from loadtest.console.server import Console, serve  # gevent, which other commands do not need

    page, hint = Console(board, director, port), "For scripts, see docs/console.md. Ctrl-C stops all of it."
    serve(page, Sampler(director, board, place), terminal, hint)
