"""`session-cluster load`."""

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from rich.console import Console

from deploy import NodeKind, StoreKind
from deploy.cli import cluster_options, program_options
from deploy.files import check_writable, write_json
from deploy.ports import require_free
from deploy.spec import MOST_NODES, SpecError, parse_balance
from loadtest.claims.claim import Verdict
from loadtest.cli.on_target import open_target
from loadtest.cli.shared import (
    INTERRUPTED,
    Number,
    choose_clusters,
    in_one_line,
    out_option,
    place_option,
    require_place,
    stoppable,
    temporary_folder,
    writing,
)
from loadtest.credentials import CredentialsError, read_credentials
from loadtest.experiment import Place, cluster, make_accounts
from loadtest.load import RESULT, run_load, show_load, write_load
from loadtest.load_profile import LoadProfile, Mix, ProfileError, parse_mix
from loadtest.matrix import (
    CellResult,
    estimate_seconds,
    make_cells,
    make_markdown,
    make_record,
    run_matrix,
    show_matrix,
)
from loadtest.operations import ADDRESS, is_address
from loadtest.progress import ProgressLine, format_duration
from loadtest.results import replacing
from loadtest.suite import FAILURES, MakeCluster
from loadtest.target import ClusterTarget, RunningTarget, Target
from loadtest.targets.reference import make_application
from proxy.cli import GroupedCommand, UsageError

WEB_PORT = 8089
_CLUSTER_OPTIONS = ("store", "balance", "nodes", "node", "place", "nginx", "store_server")
_TARGET_OPTIONS = ("users_file", "cookie", "authority", "insecure")
_OPTION_NAMES = {"users_file": "--users-file", "authority": "--ca"}
_MATRIX_OPTIONS = ("stores", "balances")


@click.command(
    cls=GroupedCommand,
    groups={"--target": "Running target", "--store": "New cluster", "--matrix": "Matrix", "--help": "Options"},
    short_help="Put load on a cluster, and see what its users lose.",
    context_settings={"show_default": True},
)
@click.option(
    "--users",
    type=click.IntRange(1, 100_000),
    metavar="N",
    help="Number of virtual users.  [default: 30; with --matrix 20]",
)
@click.option("--spawn-rate", type=Number(0.01, 1000), default=20, metavar="N", help="Users who start per second.")
@click.option(
    "--duration",
    type=Number(1, 86_400),
    metavar="S",
    help="Seconds to measure, after all users have logged in.  [default: 30; with --matrix 5 each]",
)
@click.option(
    "--wait",
    nargs=2,
    type=Number(0, 3600),
    metavar="MIN MAX",
    help="Users wait MIN to MAX seconds before their next request.  [default: 0.2 0.8; with --matrix 0 0]",
)
@click.option(
    "--mix",
    default="everyday",
    metavar="MIX",
    help="What users do: everyday, browsers, tabs, shared-writers, logout-race, or weights of visitor, shopper "
    "and leaver, such as visitor=6,shopper=3,leaver=1.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    metavar="N",
    help="Number of processes of Locust, the load generator.",
)
@click.option(
    "--web",
    type=click.IntRange(1, 65535),
    is_flag=False,
    flag_value=WEB_PORT,
    metavar="[PORT]",
    help=f"Serve Locust's own page on 127.0.0.1; without PORT on {WEB_PORT}.",
)
@out_option("Keep figures and history in DIR.")
@click.option(
    "--target",
    metavar="URL|FILE",
    help="Use a running cluster instead of a new one: the URL of one of `session-cluster up`, or of any application "
    "with its HTTP interface; or the TOML file of any web application, see `session-cluster target --help`.",
)
@click.option(
    "--users-file",
    envvar="CLUSTER_USERS_FILE",
    default="",
    metavar="FILE",
    show_default=False,
    help="Users and passwords of the target: cluster.json of `up --state`, or a file like it."
    "  [default: the variable CLUSTER_USERS_FILE]",
)
@click.option(
    "--cookie",
    metavar="NAME",
    help="Name of the target's session cookie.  [default: that of --users-file, or session]",
)
@click.option(
    "--ca",
    "authority",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Certificate (PEM) of the authority that signed the target's.",
)
@click.option("--insecure", is_flag=True, show_default=False, help="Accept any certificate of the target.")
@cluster_options
@click.option(
    "--nodes", metavar="N", help=f"Number of nodes, 1 to {MOST_NODES}.  [default: 3; with --matrix a list, 1,2,4,8]"
)
@place_option(Place.LOCAL.value, "Where the cluster runs: local (processes of this machine) or compose (containers).")
@program_options
@click.option(
    "--matrix",
    is_flag=True,
    show_default=False,
    help="Measure many small new clusters, one after another; without --mix, --workers, --web, --store and --balance.",
)
@click.option("--stores", metavar="LIST", help="Stores of the matrix.  [default: memory,file,sql,redis]")
@click.option(
    "--balances", metavar="LIST", help="Balancing policies of the matrix.  [default: round_robin,least_conn,sticky]"
)
@click.pass_context
def load(context: click.Context, /, **given: Any) -> None:
    """Put virtual users on a cluster, and check the history of all their requests.

    Without --target it starts a new cluster, as `up` does, and stops it afterwards; `session-cluster up --help`
    explains stores and policies. A target is any cluster that speaks the HTTP interface of docs/http-api.md, or any web
    application with sessions: docs/targets.md has the file that describes it.

    All users log in first, then the measurement begins. The result has percentiles for each kind of request, and what
    the history proves: sessions lost (a user was logged out), updates lost, stale reads (older than an earlier answer),
    logouts revived (a session that was logged out works again), sessions crossed (data of another user). With --out
    DIR, it is in DIR/load.json, and the history in DIR/history.jsonl.gz.

    --matrix measures each store with each balancing policy and number of nodes: throughput, CPU of the nodes for each
    request, operations of the store, p99. With --out DIR, these are in DIR/matrix.json and DIR/matrix.md. First it says
    how long it takes.

    \b
    What users do (--mix):
      everyday        6 visitors, who mostly read, to 3 shoppers, who fill a
                      cart, and 1 leaver, who logs out and in again
      browsers        these, and 2 browsers with several tabs
      tabs            browsers with tabs that log in again, change passwords
                      and end sessions
      shared-writers  browsers whose five tabs write to one session at once
      logout-race     browsers that log out while five tabs write

    Exit status: 0 nothing was lost and no request failed; 1 something was lost or failed, or an error; 2 wrong usage;
    130 stopped by Ctrl-C.
    """
    _refuse_ignored_options(context)
    console, out = Console(highlight=False), given["out"]
    if out is not None:
        with writing(out):
            out.mkdir(parents=True, exist_ok=True)
            check_writable(out / RESULT)
    with in_one_line(*FAILURES, CredentialsError), stoppable(console):
        try:
            status = _run_matrix(given, console) if given["matrix"] else _run_load(given, console)
        except (ProfileError, SpecError) as error:
            raise UsageError(error, processes="--workers") from error
    sys.exit(status)


def _refuse_ignored_options(context: click.Context) -> None:
    """Refuse options that would be ignored."""
    chosen = {name for name in context.params if context.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    matrix, target = context.params["matrix"], context.params["target"]
    for names, allowed, why in (
        (_TARGET_OPTIONS, bool(target), "needs --target"),
        (_CLUSTER_OPTIONS, not target, "is for a new cluster; leave it out with --target"),
        (_MATRIX_OPTIONS, matrix, "needs --matrix"),
        (("store", "balance"), not matrix, "is not for --matrix; use --stores or --balances"),
        (("target", "web", "workers", "mix"), not matrix, "is not for --matrix"),
    ):
        for option in context.command.params:
            if option.name in names and option.name in chosen and not allowed:
                raise click.UsageError(f"{option.opts[0]} {why}")


def _make_profile(given: dict[str, Any], users: int, wait: tuple[float, float]) -> LoadProfile:
    mix, weights = parse_mix(given["mix"])
    return LoadProfile(
        users=given["users"] or users,
        spawn_rate=given["spawn_rate"],
        wait=given["wait"] or wait,
        mix=mix,
        weights=weights,
        processes=given["workers"],
        web=given["web"],
    )


def _run_load(given: dict[str, Any], console: Console) -> int:
    profile = _make_profile(given, users=30, wait=(0.2, 0.8))
    target, title = _make_target(given, make_accounts(profile.users) if profile.mix is Mix.TABS else ())
    if profile.web is not None:
        require_free(profile.web, "--web")
        console.print(f"Locust's page: [bold]http://127.0.0.1:{profile.web}[/], as long as the load lasts")
    with temporary_folder(given["out"]) as out, ProgressLine(console) as line, writing(out), replacing(out) as folder:
        result = run_load(profile, given["duration"] or 30.0, target, folder, title, line)
        write_load(folder, result)
    console.print(show_load(result))
    if given["out"] is not None:
        console.print(f"\nResults: {given['out']}", soft_wrap=True, markup=False)
    return int(Verdict.BROKEN in {result.lost.verdict, result.failed.verdict})


def _make_target(given: dict[str, Any], accounts: tuple[str, ...]) -> tuple[Target, str]:
    """Return the target and its title; a cluster has these accounts, or the usual ones."""
    if given["target"] is not None and not is_address(given["target"]):
        return _describe_target(given)
    if given["target"] is not None:
        credentials = read_credentials(given["users_file"], "--users-file")
        target = RunningTarget(
            url=given["target"].rstrip("/"),
            users=credentials.users,
            session_cookie=given["cookie"] or credentials.session_cookie,
            authority=given["authority"],
            insecure=given["insecure"],
        )
        return target, target.url
    (nodes,) = _parse_numbers(given["nodes"] or "3", most=1)
    store, balance = StoreKind.parse(given["store"]), parse_balance(given["balance"])
    spec = cluster(nodes, store, balance, node=NodeKind.parse(given["node"]))
    spec = replace(spec, users=accounts or spec.users)
    kind = "" if spec.node is NodeKind.FLASK else f"{spec.node} "
    title = f"{spec.nodes} {kind}nodes, {spec.store}, {spec.balance}"
    return ClusterTarget(_choose_clusters(given, spec.node)(spec)), title


def _describe_target(given: dict[str, Any]) -> tuple[Target, str]:
    """Return the target of a file and its title. Raises ClickException."""
    path = Path(given["target"])
    if path.suffix != ".toml" and not path.is_file():
        raise click.UsageError(f"--target must be {ADDRESS}, or the path of a TOML file, not {given['target']}")
    for option in _TARGET_OPTIONS:
        if click.get_current_context().get_parameter_source(option) is ParameterSource.COMMANDLINE:
            name = _OPTION_NAMES.get(option, f"--{option}")
            raise click.UsageError(f"{name} is for a URL; {path} has a key for it")
    target = open_target(path)
    return target, target.title


def _parse_numbers(text: str, most: int) -> list[int]:
    parts = text.split(",")
    valid = [re.fullmatch(r"\s*[0-9]{1,4}\s*", part) and 1 <= int(part) <= MOST_NODES for part in parts]
    if not all(valid) or len(parts) > most:
        several = "" if most == 1 else f", or up to {most} with commas between them"
        raise click.UsageError(f"--nodes must be a number from 1 to {MOST_NODES}{several}, not {text}")
    return [int(part) for part in parts]


def _run_matrix(given: dict[str, Any], console: Console) -> int:
    profile, seconds = _make_profile(given, users=20, wait=(0.0, 0.0)), given["duration"] or 5.0
    node = NodeKind.parse(given["node"])
    usual = "memory,file,sql,redis" if node is NodeKind.FLASK else "memory,redis"
    stores = [StoreKind.parse(name.strip()) for name in (given["stores"] or usual).split(",")]
    policies = given["balances"] or "round_robin,least_conn,sticky"
    balances = [parse_balance(name.strip()) for name in policies.split(",")]
    cells = make_cells(node, stores, balances, _parse_numbers(given["nodes"] or "1,2,4,8", most=20))
    clusters = _choose_clusters(given, node)
    make_application(node)  # before the cells, because it may install packages
    about = format_duration(estimate_seconds(len(cells), profile, seconds))
    many, each = ("s", " each") if len(cells) > 1 else ("", "")
    console.print(f"{len(cells)} cluster{many}, {seconds:g} s{each}: about {about}")
    results: list[CellResult] = []
    interrupted = False
    try:
        with ProgressLine(console) as line:
            results.extend(run_matrix(cells, profile, seconds, clusters, line))
    except KeyboardInterrupt:
        interrupted = True
    if results:
        console.print(show_matrix(results, profile, seconds))
    if results and (out := given["out"]) is not None:
        with writing(out):
            write_json(out / "matrix.json", make_record(results, profile, seconds))
            (out / "matrix.md").write_text(make_markdown(results, profile, seconds), encoding="utf-8")
        console.print(f"\nResults: {out}", soft_wrap=True, markup=False)
    if interrupted:
        console.print(f"\nStopped after {len(results)} of {len(cells)} clusters; everything has been ended.")
        return INTERRUPTED
    return int(any(one.error for one in results))


def _choose_clusters(given: dict[str, Any], node: str) -> MakeCluster:
    """Return how clusters are made. Raises ClusterError where no containers can be started."""
    place = Place(given["place"])
    clusters = choose_clusters(place, node, given["nginx"], given["store_server"])
    require_place(place)
    return clusters
