"""`session-cluster demo`, `failover`, `load` and `report`.

Imports are inside of the commands: the command line answers `--help` at once.
"""

import difflib
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from rich.console import Console

    from deploy import LocalCluster
    from loadtest.experiment import Experiment
    from loadtest.load_profile import LoadProfile
    from loadtest.results import Result
    from loadtest.suite import MakeCluster, Suite
    from loadtest.target import Target

INTERRUPTED = 130  # what shells say of a program that Ctrl-C has ended
SHORT = 0.5
WEB_PORT = 8089
_EXECUTABLE = click.Path(path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)
_CLUSTER_OPTIONS = ("store", "balance", "nodes", "node", "place", "nginx", "store_server")
_TARGET_OPTIONS = ("users_file", "cookie", "authority", "insecure")
_MATRIX_OPTIONS = ("stores", "balances")

Command = TypeVar("Command", bound=Callable[..., Any])


def program_options(command: Command) -> Command:
    """--store-server and --nginx: the programs of local clusters."""
    nginx = click.option(
        "--nginx", type=_EXECUTABLE, metavar="PATH", help="The nginx to use; default: the embedded one."
    )
    store_server = click.option(
        "--store-server",
        type=_EXECUTABLE,
        metavar="PATH",
        help="The Redis or Valkey server to use; default: the embedded one.",
    )
    return store_server(nginx(command))


@click.command(short_help="Show on real clusters when sessions are lost, and when not.")
@click.option(
    "--users",
    metavar="N",
    type=click.IntRange(1, 1000),
    default=30,
    show_default=True,
    help="Virtual users in each scene.",
)
@click.option(
    "--seconds",
    metavar="S",
    type=click.FloatRange(1, 3600),
    default=5.0,
    show_default=True,
    help="How long each scene measures; longer, up to five times, where the machine is too slow to see enough.",
)
@click.option(
    "--scene", "names", multiple=True, metavar="NAME", help="Run this scene only; may be given more than once."
)
@click.option(
    "--json",
    "record",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write all figures to FILE.",
)
@click.option(
    "--out",
    type=_FOLDER,
    metavar="DIR",
    help="Keep the histories in DIR, with a report: a new folder, or one of an earlier demo.",
)
@program_options
def demo(
    users: int,
    seconds: float,
    names: tuple[str, ...],
    record: Path | None,
    out: Path | None,
    store_server: Path | None,
    nginx: Path | None,
) -> None:
    """Start real clusters one after another, put virtual users on each, and show what they lose.

    Every scene starts nginx, the nodes and, where sessions are shared, a store, all on this machine and on free ports.
    The history of all requests is then checked: what each user did, and what each answer shows of it. The whole demo
    takes little more than a minute; Ctrl-C stops everything.

    \b
    The scenes:
      one-worker   1 node, 1 worker, memory           nothing is lost
      two-workers  1 node, 2 workers, memory          up to half the requests miss
      three-nodes  3 nodes, memory, round robin       2/3 of the requests miss
      sticky-kill  3 nodes, memory, sticky; kill one  1/3 of the users are out
      redis-kill   3 nodes, Redis; kill one           nothing is lost
      scale        3 to 5 nodes and back, Redis       nothing is lost

    Exit status: 0 every scene showed what it is to show; 1 one did not, or had too little data to tell, or something
    went wrong (in one line); 2 wrong usage; 130 stopped by Ctrl-C.
    """
    from rich.console import Console

    from loadtest.demo import BY_NAME, SCENES, SECONDS, make_record, show_scenes
    from loadtest.experiment import Place
    from loadtest.report.page import write_report
    from loadtest.results import check_writable, write_json
    from loadtest.suite import Effort, Suite

    for name in names:
        _require_known(name, BY_NAME, "scene", "--scene")
    scenes = [scene for scene in SCENES if not names or scene.name in names]
    if record is not None:
        with _writing(record):
            check_writable(record)
    if out is not None:
        prepare(out)
    console = Console()
    began = time.monotonic()
    with _folder(out) as folder:
        suite = Suite(
            experiments=scenes,
            effort=Effort(users, share=seconds / SECONDS),
            folder=folder,
            clusters={Place.LOCAL: _local_clusters(nginx, store_server)},
            command=f"session-cluster demo --scene {{name}} --users {users}",
            probes=False,
        )
        results, interrupted = _run_suite(suite, console, strict=True)
    if results:
        console.print()
        console.print(show_scenes(results, console.width))
    if interrupted:
        console.print(f"\nStopped after {len(results)} of {len(scenes)} scenes; everything has been ended.")
        sys.exit(INTERRUPTED)
    if record is not None:
        with _writing(record):
            write_json(record, make_record(results, users, seconds))
    said = "{failed} of {runs} scenes did not show what they are to show"
    status = _conclude(console, results, said, "As expected", began)
    if out is not None:
        console.print(f"Report: {write_report(out, 'What scaling out does to sessions')}", soft_wrap=True)
    sys.exit(status)


@click.group(short_help="Break real clusters under load, and see what is lost.")
def failover() -> None:
    """Experiments: a hypothesis, a real cluster under load, a fault, and what was lost, as numbers.

    Each checks the steady state, applies its fault under load, undoes it in any case, and checks the steady state
    again. `session-cluster failover list` names them.
    """


@failover.command("list", short_help="List the experiments.")
def list_() -> None:
    """List name and title of each experiment, and what it runs on."""
    from rich.console import Console

    from loadtest.experiments import EXPERIMENTS
    from loadtest.report.tables import Column, Table

    table = Table([Column(""), *(Column(name, number=False) for name in ("name", "experiment", "on"))], gap=1)
    for experiment in EXPERIMENTS:
        table.add([str(experiment.number), experiment.name, experiment.title, ", ".join(experiment.places)])
    Console().print(table.render())


@failover.command(short_help="Run some experiments, or all.")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--all", "everything", is_flag=True, help="All experiments that run there.")
@click.option(
    "--repeat",
    metavar="N",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    help="Number of runs of each.",
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
    type=_FOLDER,
    metavar="DIR",
    help="Folder for results, histories and the report: a new one, an empty one, or one of an earlier run, which is "
    "added to. Default: results/failover-TIME.",
)
@click.option(
    "--users", metavar="N", type=click.IntRange(1, 1000), default=24, show_default=True, help="Virtual users."
)
@click.option("--short", is_flag=True, help="Watch for half as long: for a first look, and for CI.")
@program_options
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
    from loadtest.experiment import Place
    from loadtest.report.page import write_report
    from loadtest.report.tables import show_experiments
    from loadtest.suite import Effort, Suite
    from loadtest.targets import make_application

    kind = NodeKind(node)
    if place == Place.COMPOSE:
        _require_flask_and_own_programs(kind, nginx, store_server)
    only_local = kind is not NodeKind.FLASK or nginx or store_server
    places = [Place(place)] if place else [Place.LOCAL] if only_local else list(Place)
    chosen = _choose(names, everything, places, kind)
    factories: dict[Place, MakeCluster] = {
        Place.LOCAL: _local_clusters(nginx, store_server),
        Place.COMPOSE: ComposeCluster,
    }
    options = (f"--users {users}", "--short" if short else "", f"--node {kind}" if kind is not NodeKind.FLASK else "")
    folder = out or Path("results", time.strftime("failover-%Y%m%d-%H%M%S"))
    suite = Suite(
        experiments=chosen,
        effort=Effort(users, share=SHORT if short else 1.0),
        folder=folder,
        clusters={place: factories[place] for place in places},
        command=f"session-cluster failover run {{name}} --on {{place}} {' '.join(filter(None, options))}",
        repeat=repeat,
        node=kind,
    )
    try:
        make_application(kind)  # installing it takes a while, and a failure is not one of an experiment
        if any(case.place is Place.COMPOSE for case in suite.cases):
            require_engine()
    except ClusterError as error:
        if place or only_local:
            raise click.ClickException(str(error)) from error
        suite = leave_out_containers(suite, names, str(error))
    prepare(folder)
    console = Console()
    began = time.monotonic()
    results, interrupted = _run_suite(suite, console)
    if results:
        console.print()
        console.print(show_experiments(results))
        console.print(f"\nReport: {write_report(folder)}", soft_wrap=True)
    if interrupted:
        runs = f"{len(results)} of {suite.runs} runs"
        console.print(f"\nStopped after {runs}; the fault is undone, everything has ended.")
        sys.exit(INTERRUPTED)
    sys.exit(_conclude(console, results, "{failed} of {runs} runs did not hold", "All of it holds", began))


def leave_out_containers(suite: "Suite", names: Sequence[str], reason: str) -> "Suite":
    """Return the suite without runs in containers. Raises ClickException if nothing is left of a named experiment."""
    from loadtest.experiment import Place

    clusters: Mapping[Place, MakeCluster] = {
        place: factory for place, factory in suite.clusters.items() if place != Place.COMPOSE
    }
    rest = replace(suite, clusters=clusters)
    if set(names) - {case.experiment.name for case in rest.cases}:
        raise click.ClickException(reason)
    count = suite.runs - rest.runs
    click.echo(f"{count} run{'s' if count > 1 else ''} that need containers are left out: {reason}", err=True)
    return rest


def _choose(names: Sequence[str], everything: bool, places: Sequence[str], node: str) -> list["Experiment"]:
    from loadtest.experiments import BY_NAME, EXPERIMENTS

    if everything and names:
        raise click.UsageError(f"--all runs everything: leave out {' '.join(names)}, or --all")
    if not everything and not names:
        raise click.UsageError("name an experiment, or give --all; `session-cluster failover list` names them")
    for name in names:
        _require_known(name, BY_NAME, "experiment", "NAME")
        if not set(places) & set(BY_NAME[name].places):
            only = ", ".join(BY_NAME[name].places)
            raise click.BadParameter(f"{name} does not run on {places[0]}; it runs on {only}.", param_hint="--on")
        if node not in BY_NAME[name].nodes:
            others = ", ".join(one.name for one in EXPERIMENTS if node in one.nodes)
            raise click.BadParameter(f"{name} is for flask nodes alone; {node} has {others}.", param_hint="--node")
    possible = [one for one in EXPERIMENTS if set(places) & set(one.places) and node in one.nodes]
    return [one for one in possible if everything or one.name in names]


@click.command(short_help="Write one page with all results of a folder.")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--title", metavar="TEXT", help="Title of the page.")
def report(folder: Path, title: str | None) -> None:
    """Write DIR/report.html, results.json and results.md again from the results in DIR.

    The page opens offline: plots and style are in it. results.json has everything; results.md is a table for a pull
    request.
    """
    from loadtest.report.page import TITLE, NothingToReport, write_report

    try:
        path = write_report(folder, title or TITLE)
    except (NothingToReport, OSError, ValueError) as error:
        said = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
        raise click.ClickException(said) from error
    click.echo(path)


@click.command(
    short_help="Put load on a cluster, and see what its users lose.", context_settings={"show_default": True}
)
@click.option(
    "--users", type=click.IntRange(1, 100_000), metavar="N", help="Virtual users.  [default: 30; of a matrix 20]"
)
@click.option(
    "--spawn-rate", type=click.FloatRange(0.01, 1000), default=20, metavar="N", help="Users that start per second."
)
@click.option(
    "--duration",
    type=click.FloatRange(1, 86_400),
    metavar="S",
    help="Seconds that count, once all have logged in.  [default: 30; of a row of a matrix 5]",
)
@click.option(
    "--wait",
    nargs=2,
    type=float,
    metavar="S S",
    help="Least and most seconds between a user's requests.  [default: 0.2 0.8; of a matrix 0 0]",
)
@click.option(
    "--mix",
    default="everyday",
    metavar="MIX",
    help="everyday, shared-writers, logout-race, or visitor=6,shopper=3,leaver=1.",
)
@click.option("--workers", type=click.IntRange(1, 64), default=1, metavar="N", help="Processes of Locust.")
@click.option(
    "--web",
    type=click.IntRange(1, 65535),
    is_flag=False,
    flag_value=WEB_PORT,
    metavar="[PORT]",
    help=f"Locust's own page, on 127.0.0.1; without PORT: {WEB_PORT}.",
)
@click.option("--out", type=_FOLDER, metavar="DIR", help="Keep figures and history.")
@click.option("--target", metavar="URL", help="A cluster that runs already, ours or another.")
@click.option(
    "--users-file",
    envvar="CLUSTER_USERS_FILE",
    default="",
    metavar="FILE",
    show_default=False,
    help="Accounts of the target: a cluster.json, or CLUSTER_USERS_FILE.",
)
@click.option("--cookie", metavar="NAME", help="The target's session cookie.  [default: as FILE says, or session]")
@click.option(
    "--ca",
    "authority",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The certificate that signs the target's.",
)
@click.option("--insecure", is_flag=True, show_default=False, help="Accept any certificate of the target.")
@click.option("--store", default="redis", metavar="STORE", help="Store of a new cluster, as for `up`.")
@click.option("--balance", default="round_robin", metavar="POLICY", help="Balancing policy of a new cluster.")
@click.option("--nodes", metavar="N", help="Number of nodes (with --matrix: a list).  [default: 3; 1,2,4,8]")
@click.option(
    "--node", default="flask", metavar="KIND", help="Application of the nodes: flask, express, flask-session."
)
@click.option(
    "--on",
    "place",
    metavar="PLACE",
    type=click.Choice(["local", "compose"]),
    default="local",
    help="A new cluster as processes of this machine (local) or in containers (compose).",
)
@program_options
@click.option("--matrix", is_flag=True, show_default=False, help="Many small clusters, one after another.")
@click.option("--stores", metavar="LIST", help="Stores of the matrix.  [default: memory,file,sql,redis]")
@click.option("--balances", metavar="LIST", help="Its policies.  [default: round_robin,least_conn,sticky]")
@click.pass_context
def load(context: click.Context, /, **given: Any) -> None:
    """Put virtual users on a cluster, and check the history of all their requests.

    Without --target it starts a cluster of its own, as `up` does, and stops it afterwards. A target is any cluster that
    speaks the HTTP interface of docs/http-api.md.

    All users log in first, then the seconds count. The result has percentiles for each request, and what the history
    proves: sessions lost, updates lost, stale reads, logouts revived, sessions crossed. With --out DIR, DIR/load.json
    and DIR/history.jsonl.gz keep it.

    --matrix measures stores x balancing x nodes: throughput, the nodes' CPU for each request, operations of the store,
    p99. DIR/matrix.json and DIR/matrix.md keep it. It says first how long it takes.

    Exit status: 0 nothing was lost and no request failed; 1 something was, or it went wrong (in one line); 2 wrong
    usage; 130 stopped by Ctrl-C.
    """
    from rich.console import Console

    from loadtest.credentials import CredentialsError
    from loadtest.load_profile import ProfileError
    from loadtest.runner import interruptible
    from loadtest.suite import FAILURES

    _refuse_ignored_options(context)
    console, out = Console(highlight=False), given["out"]
    try:
        if out is not None:
            with _writing(out):
                _prepare_load(out)
        with interruptible():
            status = _run_matrix(given, console) if given["matrix"] else _run_load(given, console)
    except KeyboardInterrupt:
        console.print("stopped; everything has been ended")
        status = INTERRUPTED
    except ProfileError as error:
        raise click.UsageError(str(error)) from error
    except (*FAILURES, CredentialsError) as error:
        raise click.ClickException(str(error)) from error
    sys.exit(status)


def _refuse_ignored_options(context: click.Context) -> None:
    """An option that would be ignored is a misunderstanding."""
    chosen = {name for name in context.params if context.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    matrix, target = context.params["matrix"], context.params["target"]
    for names, allowed, why in (
        (_TARGET_OPTIONS, bool(target), "needs a --target"),
        (_CLUSTER_OPTIONS, not target, "is for a new cluster, and a --target is there already"),
        (_MATRIX_OPTIONS, matrix, "needs --matrix"),
        (("store", "balance"), not matrix, "is not for --matrix: give it a list, with --stores or --balances"),
        (("target", "web", "workers", "mix"), not matrix, "is not for --matrix"),
    ):
        for option in context.command.params:
            if option.name in names and option.name in chosen and not allowed:
                raise click.UsageError(f"{option.opts[0]} {why}")


def _prepare_load(out: Path) -> None:
    from loadtest.load import RESULT
    from loadtest.results import check_writable

    out.mkdir(parents=True, exist_ok=True)
    check_writable(out / RESULT)


def _make_profile(given: dict[str, Any], users: int, wait: tuple[float, float]) -> "LoadProfile":
    from loadtest.load_profile import LoadProfile, parse_mix

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


def _run_load(given: dict[str, Any], console: "Console") -> int:
    from deploy.ports import require_free
    from loadtest.claims import Verdict
    from loadtest.load import run_load, show_load, write_load
    from loadtest.progress import ProgressLine

    profile = _make_profile(given, users=30, wait=(0.2, 0.8))
    target, title = _make_target(given)
    if profile.web is not None:
        require_free(profile.web, "--web")
        console.print(f"Locust's page: [bold]http://127.0.0.1:{profile.web}[/], as long as the load lasts")
    with _folder(given["out"]) as folder, ProgressLine(console) as line:
        result = run_load(profile, given["duration"] or 30.0, target, folder, title, line)
        if given["out"] is not None:
            with _writing(folder):
                write_load(folder, result)
    console.print(show_load(result))
    if given["out"] is not None:
        console.print(f"\nkept: {given['out']}", soft_wrap=True, markup=False)
    return int(Verdict.BROKEN in {result.lost.verdict, result.failed.verdict})


def _make_target(given: dict[str, Any]) -> tuple["Target", str]:
    """Return the target, and its title."""
    from deploy import NodeKind, StoreKind
    from deploy.spec import parse_balance
    from loadtest.credentials import read_credentials
    from loadtest.experiment import cluster
    from loadtest.target import ClusterTarget, RunningTarget

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
    kind = "" if spec.node is NodeKind.FLASK else f"{spec.node} "
    title = f"{spec.nodes} {kind}nodes, {spec.store}, {spec.balance}"
    return ClusterTarget(_choose_clusters(given, spec.node)(spec)), title


def _parse_numbers(text: str, most: int) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts) or len(parts) > most:
        what = "a number" if most == 1 else "numbers with commas between them, such as 1,2,4,8"
        raise click.UsageError(f"--nodes must be {what}, not {text}")
    return [int(part) for part in parts]


def _run_matrix(given: dict[str, Any], console: "Console") -> int:
    from deploy import NodeKind, StoreKind
    from deploy.spec import parse_balance
    from loadtest.matrix import estimate_seconds, make_cells, make_markdown, make_record, run_matrix, show_matrix
    from loadtest.progress import ProgressLine
    from loadtest.results import write_json
    from loadtest.targets import make_application

    profile, seconds = _make_profile(given, users=20, wait=(0.0, 0.0)), given["duration"] or 5.0
    node = NodeKind.parse(given["node"])
    usual = "memory,file,sql,redis" if node is NodeKind.FLASK else "memory,redis"
    stores = [StoreKind.parse(name.strip()) for name in (given["stores"] or usual).split(",")]
    policies = given["balances"] or "round_robin,least_conn,sticky"
    balances = [parse_balance(name.strip()) for name in policies.split(",")]
    cells = make_cells(node, stores, balances, _parse_numbers(given["nodes"] or "1,2,4,8", most=20))
    clusters = _choose_clusters(given, node)
    make_application(node)  # installing it takes a while, and a failure is not one of a cell
    minutes, rest = divmod(round(estimate_seconds(len(cells), profile, seconds)), 60)
    console.print(f"{len(cells)} clusters, {seconds:g} s each: about {minutes}:{rest:02} min in all")
    with ProgressLine(console) as line:
        results = list(run_matrix(cells, profile, seconds, clusters, line))
    console.print(show_matrix(results, profile, seconds))
    if (out := given["out"]) is not None:
        with _writing(out):
            write_json(out / "matrix.json", make_record(results, profile, seconds))
            (out / "matrix.md").write_text(make_markdown(results, profile, seconds), encoding="utf-8")
        console.print(f"\nkept: {out}", soft_wrap=True, markup=False)
    return int(any(one.error for one in results))


def prepare(out: Path) -> None:
    """Make the folder, and refuse one with other things in it."""
    from loadtest.results import RESULTS, write_results

    try:
        if out.is_dir() and any(out.iterdir()) and not (out / RESULTS).is_file():
            raise click.BadParameter(f"{out} holds other things; name an empty folder or a new one", param_hint="--out")
        out.mkdir(parents=True, exist_ok=True)
        write_results(out)
    except OSError as error:
        raise click.ClickException(f"cannot write to {out}: {error.strerror}") from error
    except ValueError as error:
        raise click.ClickException(str(error)) from error


def _run_suite(suite: "Suite", console: "Console", strict: bool = False) -> tuple[list["Result"], bool]:
    """Return the results, and whether a signal stopped the suite. With `strict` a run that fails ends it."""
    from loadtest.progress import ProgressLine
    from loadtest.runner import interruptible

    results: list[Result] = []
    try:
        with interruptible(), ProgressLine(console) as line, _writing(suite.folder):
            for result in suite.run(line):
                if strict and result.findings is None:
                    raise click.ClickException(result.claims[0].reason)
                results.append(result)
    except KeyboardInterrupt:
        return results, True
    return results, False


def _conclude(console: "Console", results: Sequence["Result"], broken: str, well: str, began: float) -> int:
    """Print the last line, and return the exit status."""
    from loadtest.claims import Verdict

    failed = sum(result.verdict is not Verdict.HOLDS for result in results)
    said = broken.format(failed=failed, runs=len(results)) if failed else well
    console.print(f"\n{said}. {time.monotonic() - began:.0f} s.", style="bold red" if failed else "bold green")
    return 1 if failed else 0


def _local_clusters(nginx: Path | None, store_server: Path | None) -> "Callable[..., LocalCluster]":
    from loadtest.targets import local_cluster

    return lambda spec: local_cluster(spec, nginx=nginx, store_server=store_server)


def _choose_clusters(given: dict[str, Any], node: str) -> "MakeCluster":
    """Return the factory of clusters of `load`. Raises ClusterError where no containers can be started."""
    from deploy import ComposeCluster
    from deploy.compose.docker import require_engine

    if given["place"] == "local":
        return _local_clusters(given["nginx"], given["store_server"])
    _require_flask_and_own_programs(node, given["nginx"], given["store_server"])
    require_engine()
    return ComposeCluster


def _require_flask_and_own_programs(node: str, nginx: Path | None, store_server: Path | None) -> None:
    if node != "flask":
        raise click.UsageError(f"--node {node} is for local processes: nodes in containers are flask")
    if nginx or store_server:
        raise click.UsageError("--nginx and --store-server are for local processes: containers bring their own")


def _require_known(name: str, known: Collection[str], what: str, option: str) -> None:
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"the {what}s are {', '.join(known)}."
        raise click.BadParameter(f"unknown {what} {name!r}; {hint}", param_hint=option)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise click.ClickException(f"cannot write to {path}: {error.strerror}") from error


@contextmanager
def _folder(out: Path | None) -> Iterator[Path]:
    """Yield the folder, or a temporary one."""
    if out is not None:
        yield out
        return
    with tempfile.TemporaryDirectory(prefix="session-load-") as temporary:
        yield Path(temporary)
