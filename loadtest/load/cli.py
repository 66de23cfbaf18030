"""`session-cluster load`."""

import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from loadtest.options import own_programs

if TYPE_CHECKING:
    from rich.console import Console

    from deploy import ClusterSpec, LocalCluster
    from loadtest.load.plan import Plan
    from loadtest.load.target import Target

INTERRUPTED = 130  # what shells say of a program that Ctrl-C has ended
WEB_PORT = 8089
_OF_CLUSTER = ("store", "balance", "nodes", "node", "nginx", "store_server")
_OF_TARGET = ("users_file", "cookie", "authority", "insecure")
_OF_MATRIX = ("stores", "balances")


@click.command(
    short_help="Put load on a cluster, and see what its users lose.", context_settings={"show_default": True}
)
@click.option(
    "--users", type=click.IntRange(1, 100_000), metavar="N", help="Virtual users.  [default: 30; of a matrix 20]"
)
@click.option(
    "--spawn-rate", type=click.FloatRange(0.01, 1000), default=20, metavar="N", help="How many come in a second."
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
    help="From and to so many seconds between a user's requests.  [default: 0.2 0.8; of a matrix 0 0]",
)
@click.option(
    "--mix",
    default="everyday",
    metavar="MIX",
    help="everyday, shared-writers, logout-race, or visitor=6,shopper=3,leaver=1.",
)
@click.option(
    "--workers", type=click.IntRange(1, 64), default=1, metavar="N", help="Processes that Locust's users run in."
)
@click.option(
    "--web",
    type=click.IntRange(1, 65535),
    is_flag=False,
    flag_value=WEB_PORT,
    metavar="[PORT]",
    help=f"Locust's own page, on 127.0.0.1; without PORT: {WEB_PORT}.",
)
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), metavar="DIR", help="Keep figures and history."
)
@click.option("--target", metavar="URL", help="Of a cluster that runs already, ours or not.")
@click.option(
    "--users-file",
    envvar="CLUSTER_USERS_FILE",
    default="",
    metavar="FILE",
    show_default=False,
    help="Who can log in at the target: a cluster.json, or CLUSTER_USERS_FILE.",
)
@click.option("--cookie", metavar="NAME", help="The target's session cookie.  [default: as FILE says, or session]")
@click.option(
    "--ca",
    "authority",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The certificate that signs the target's.",
)
@click.option("--insecure", is_flag=True, show_default=False, help="Take any certificate of the target.")
@click.option("--store", default="redis", metavar="STORE", help="Of a cluster of its own, as `up` has it.")
@click.option("--balance", default="round_robin", metavar="POLICY", help="Likewise.")
@click.option("--nodes", default=None, metavar="N", help="Likewise; of a matrix a list.  [default: 3; 1,2,4,8]")
@click.option(
    "--node", default="flask", metavar="KIND", help="Application of the nodes: flask, express, flask-session."
)
@own_programs
@click.option("--matrix", is_flag=True, show_default=False, help="Many small clusters, one after another.")
@click.option("--stores", metavar="LIST", help="Of the matrix.  [default: memory,file,sql,redis]")
@click.option("--balances", metavar="LIST", help="Of the matrix.  [default: round_robin,least_conn,sticky]")
@click.pass_context
def load(context: click.Context, /, **given: Any) -> None:
    """Let virtual users loose on a cluster, and hold every answer against what they did before.

    Without --target it starts a cluster of its own, as `up` does, and stops it afterwards. A target is any cluster that
    speaks the HTTP interface of the README.

    Everybody logs in first, then the seconds count. The result has Locust's percentiles for each request, and what the
    history of all requests proves: sessions lost, updates lost, stale reads, logouts revived, sessions crossed. With
    --out DIR, DIR/load.json and DIR/history.jsonl.gz keep it.

    --matrix measures stores x balancing x nodes: throughput, the nodes' CPU for each request, what the store is asked,
    p99. DIR/matrix.json and DIR/matrix.md keep it. It says first how long it takes.

    Exit status: 0 nothing was lost and no request failed; 1 something was, or it went wrong (in one line); 2 wrong
    usage; 130 stopped by Ctrl-C.
    """
    from rich.console import Console

    from deploy import ClusterError
    from loadtest.credentials import CredentialsError
    from loadtest.history import HistoryError
    from loadtest.load.plan import PlanError
    from loadtest.load.target import TargetError
    from loadtest.old_generator import GeneratorError

    _refuse_what_makes_no_sense(context)
    # Whoever ends it with SIGTERM expects everything to be taken down as with Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console(highlight=False)
    try:
        _prepare(given["out"])
        sys.exit(_run_matrix(given, console) if given["matrix"] else _run_one(given, console))
    except KeyboardInterrupt:
        console.print("stopped; everything has been ended")
        sys.exit(INTERRUPTED)
    except PlanError as error:
        raise click.UsageError(str(error)) from error
    except (ClusterError, CredentialsError, GeneratorError, HistoryError, TargetError) as error:
        raise click.ClickException(str(error)) from error


def _refuse_what_makes_no_sense(context: click.Context) -> None:
    """An option that would be ignored is a misunderstanding."""
    chosen = {name for name in context.params if context.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    matrix, target = context.params["matrix"], context.params["target"]
    for names, allowed, why in (
        (_OF_TARGET, bool(target), "is of a --target"),
        (_OF_CLUSTER, not target, "is of a cluster of its own, and a --target is there already"),
        (_OF_MATRIX, matrix, "is of the --matrix"),
        (("store", "balance"), not matrix, "is not of the --matrix: give it a list, with --stores or --balances"),
        (("target", "web", "workers", "mix"), not matrix, "is not of the --matrix"),
    ):
        for option in context.command.params:
            if option.name in names and option.name in chosen and not allowed:
                raise click.UsageError(f"{option.opts[0]} {why}")


def _prepare(out: Path | None) -> None:
    from loadtest.load.record import prepare

    if out is not None:
        try:
            prepare(out)
        except OSError as error:
            raise click.ClickException(f"cannot write into {out}: {error.strerror}") from error


def _plan(given: dict[str, Any], users: int, seconds: float, wait: tuple[float, float]) -> "Plan":
    from loadtest.load.plan import Plan, parse_mix

    mix, weights = parse_mix(given["mix"])
    return Plan(
        users=given["users"] or users,
        spawn_rate=given["spawn_rate"],
        seconds=given["duration"] or seconds,
        wait=given["wait"] or wait,
        mix=mix,
        weights=weights,
        workers=given["workers"],
        web=given["web"],
    )


def _run_one(given: dict[str, Any], console: "Console") -> int:
    from deploy.ports import require_free
    from loadtest.load.record import HISTORY, write
    from loadtest.load.run import run
    from loadtest.load.table import result
    from loadtest.progress import ProgressLine
    from loadtest.verdict import Verdict

    plan = _plan(given, users=30, seconds=30.0, wait=(0.2, 0.8))
    target, title = _target(given)
    if plan.web is not None:
        require_free(plan.web, "--web")
        console.print(f"Locust's page: [bold]http://127.0.0.1:{plan.web}[/], as long as the load lasts")
    with _folder(given["out"]) as folder, ProgressLine(console) as line:
        outcome = run(plan, target, folder / HISTORY, title, line)
        if given["out"] is not None:
            write(folder, outcome)
    console.print(result(outcome))
    if given["out"] is not None:
        console.print(f"\nkept: {given['out']}", soft_wrap=True, markup=False)
    return int(Verdict.BROKEN in {outcome.lost.verdict, outcome.failed.verdict})


def _target(given: dict[str, Any]) -> tuple["AbstractContextManager[Target]", str]:
    """Where the load goes, and what it is called."""
    from deploy import ClusterSpec, NodeKind, StoreKind
    from deploy.spec import parse_balance
    from loadtest.credentials import read_credentials
    from loadtest.load.target import Target, of_cluster

    if given["target"] is not None:
        credentials = read_credentials(given["users_file"], "--users-file")
        target = Target(
            url=given["target"].rstrip("/"),
            accounts=credentials.users,
            cookie=given["cookie"] or credentials.session_cookie,
            authority=given["authority"],
            insecure=given["insecure"],
            described={},
        )
        return nullcontext(target), target.url
    (nodes,) = _numbers(given["nodes"] or "3", most=1)
    spec = ClusterSpec(
        nodes=nodes,
        node=NodeKind.parse(given["node"]),
        store=StoreKind.parse(given["store"]),
        balance=parse_balance(given["balance"]),
        proxy={"login_rate": None},  # all users come from one address
    )
    kind = "" if spec.node is NodeKind.FLASK else f"{spec.node} "
    title = f"{spec.nodes} {kind}nodes, {spec.store}, {spec.balance}"
    return of_cluster(_cluster(given)(spec)), title


def _cluster(given: dict[str, Any]) -> Any:
    from loadtest.targets import local_cluster

    def make(spec: "ClusterSpec") -> "LocalCluster":
        return local_cluster(spec, nginx=given["nginx"], store_server=given["store_server"])

    return make


def _numbers(text: str, most: int) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts) or len(parts) > most:
        what = "a number" if most == 1 else "numbers with commas between them, such as 1,2,4,8"
        raise click.UsageError(f"--nodes {text}: give {what}")
    return [int(part) for part in parts]


@contextmanager
def _folder(out: Path | None) -> Iterator[Path]:
    if out is not None:
        yield out
        return
    with tempfile.TemporaryDirectory(prefix="session-load-") as temporary:
        yield Path(temporary)


def _run_matrix(given: dict[str, Any], console: "Console") -> int:
    from deploy import NodeKind, StoreKind
    from deploy.spec import parse_balance
    from loadtest import matrix
    from loadtest.load import matrix_table
    from loadtest.progress import ProgressLine
    from loadtest.targets import application_of

    plan = _plan(given, users=20, seconds=5.0, wait=(0.0, 0.0))
    node = NodeKind.parse(given["node"])
    usual = "memory,file,sql,redis" if node is NodeKind.FLASK else "memory,redis"
    stores = [StoreKind.parse(name.strip()) for name in (given["stores"] or usual).split(",")]
    balances = [
        parse_balance(name.strip()) for name in (given["balances"] or "round_robin,least_conn,sticky").split(",")
    ]
    chosen = matrix.cells(node, stores, balances, _numbers(given["nodes"] or "1,2,4,8", most=20))
    application_of(node)  # what cannot run here is no cell's fault, and installing it is none's time
    minutes, seconds = divmod(round(matrix.seconds(len(chosen), plan)), 60)
    console.print(f"{len(chosen)} clusters, {plan.seconds:g} s each: about {minutes}:{seconds:02} min in all")
    with ProgressLine(console) as line:
        measured = list(matrix.run(chosen, plan, _cluster(given), line))
    console.print(matrix_table.table(measured, plan))
    if given["out"] is not None:
        (given["out"] / "matrix.json").write_bytes(matrix_table.to_json(measured, plan))
        (given["out"] / "matrix.md").write_text(matrix_table.markdown(measured, plan), encoding="utf-8")
        console.print(f"\nkept: {given['out']}", soft_wrap=True, markup=False)
    return int(any(one.error for one in measured))
