"""Options and steps that several commands have."""

import difflib
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rich.console import Console

    from deploy import LocalCluster
    from loadtest.results import Result
    from loadtest.suite import Suite

INTERRUPTED = 130  # what shells say of a program that Ctrl-C has ended
FOLDER = click.Path(file_okay=False, path_type=Path)
_EXECUTABLE = click.Path(path_type=Path)

Command = TypeVar("Command", bound=Callable[..., Any])


def program_options(command: Command) -> Command:
    """Add --store-server and --nginx: the programs of local clusters."""
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


def place_option(default: str | None, text: str) -> Callable[[Command], Command]:
    """Return the option --on: where a cluster runs."""
    places = click.Choice(["local", "compose"])
    return click.option("--on", "place", metavar="PLACE", type=places, default=default, help=text)


def json_option(text: str) -> Callable[[Command], Command]:
    """Return the option --json: a file for all figures."""
    file = click.Path(dir_okay=False, path_type=Path)
    return click.option("--json", "record", type=file, metavar="FILE", help=text)


def require_writable(record: Path | None) -> None:
    """Refuse a file that cannot be written, before minutes of measuring."""
    from loadtest.results import check_writable

    if record is not None:
        with writing(record):
            check_writable(record)


def prepare(out: Path) -> None:
    """Create the folder of results. Refuse a folder with other contents."""
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


def run_suite(suite: "Suite", console: "Console", strict: bool = False) -> tuple[list["Result"], bool]:
    """Return the results, and whether a signal stopped the suite. With `strict` a run that fails ends it."""
    from loadtest.progress import ProgressLine
    from loadtest.runner import interruptible

    results: list[Result] = []
    try:
        with interruptible(), ProgressLine(console) as line, writing(suite.folder):
            for result in suite.run(line):
                if strict and result.findings is None:
                    raise click.ClickException(result.claims[0].reason)
                results.append(result)
    except KeyboardInterrupt:
        return results, True
    return results, False


def conclude(console: "Console", results: Sequence["Result"], broken: str, well: str, began: float) -> int:
    """Print the last line, and return the exit status."""
    from loadtest.claims import Verdict

    failed = sum(result.verdict is not Verdict.HOLDS for result in results)
    said = broken.format(failed=failed, runs=len(results)) if failed else well
    console.print(f"\n{said}. {time.monotonic() - began:.0f} s.", style="bold red" if failed else "bold green")
    return 1 if failed else 0


def local_clusters(nginx: Path | None, store_server: Path | None) -> "Callable[..., LocalCluster]":
    from loadtest.targets import local_cluster

    return lambda spec: local_cluster(spec, nginx=nginx, store_server=store_server)


def require_flask_and_own_programs(node: str, nginx: Path | None, store_server: Path | None) -> None:
    if node != "flask":
        raise click.UsageError(f"--node {node} is for local processes: nodes in containers are flask")
    if nginx or store_server:
        raise click.UsageError("--nginx and --store-server are for local processes: containers bring their own")


def require_known(name: str, known: Collection[str], what: str, option: str) -> None:
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"the {what}s are {', '.join(known)}."
        raise click.BadParameter(f"unknown {what} {name!r}; {hint}", param_hint=option)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise click.ClickException(f"cannot write to {path}: {error.strerror}") from error


@contextmanager
def temporary_folder(out: Path | None) -> Iterator[Path]:
    """Yield the folder, or a temporary one."""
    if out is not None:
        yield out
        return
    with tempfile.TemporaryDirectory(prefix="session-load-") as temporary:
        yield Path(temporary)
