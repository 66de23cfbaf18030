"""`session-cluster swarm`: the cluster as a stack on Docker Swarm."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from deploy.cli import Command, errors_in_one_line, find_given
from deploy.signals import interruptible
from deploy.spec import MOST_NODES, ClusterError, parse_balance
from deploy.swarm.settings import StackSettings, choose_settings, parse_variables
from deploy.swarm.stack import Stack, StackService, Task, read_users
from proxy import Balance

DEFAULT_NAME = "sessions"
_NONE = "none"
"""The value of an option that takes back what an earlier `up` has set."""


def _name_option(command: Command) -> Command:
    text = "Name of the stack."
    return click.option("--name", default=DEFAULT_NAME, metavar="NAME", show_default=True, help=text)(command)


def _kept_option(name: str, default: Any, metavar: str, text: str, **attributes: Any) -> Callable[[Command], Command]:
    """Return an option whose default is for the first `up` alone: later ones keep what the last one had."""
    shown = f"{text}  [default at the first up: {default}]"
    return click.option(name, default=default, metavar=metavar, help=shown, **attributes)


@click.group(short_help="Run a cluster on several machines, with Docker Swarm.")
def swarm() -> None:
    """Run a cluster as a stack on Docker Swarm: on as many machines as the swarm has.

    A proxy on each machine, nodes spread over the zones, and a Redis pinned to one machine, or a store of yours. The
    Docker engine that `docker` uses, by its context or DOCKER_HOST, has to be a manager of the swarm. docs/swarm.md
    explains it.
    """


@swarm.command(short_help="Start the stack, or update it without a failed request.")
@click.option("--image", required=True, metavar="IMAGE", help="Image of the nodes, which each machine can pull.")
@_name_option
@_kept_option("--nodes", 3, "N", f"Number of nodes, 1 to {MOST_NODES}.", type=int)
@_kept_option("--balance", Balance.ROUND_ROBIN.value, "POLICY", f"Balancing policy: {', '.join(Balance)}.")
@_kept_option("--port", 8080, "PORT", "Port of the proxy on each machine.", type=int)
@click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar="NAME",
    help="Name that browsers use, besides names and addresses of the machines; may be repeated.",
)
@click.option(
    "--trusted-proxy",
    "trusted_proxies",
    multiple=True,
    metavar="ADDRESS",
    help="Load balancer in front (address or network), whose X-Forwarded-For is believed; may be repeated.",
)
@click.option(
    "--store-url",
    envvar="STORE_URL",
    default="",
    metavar="URL",
    help="Store outside of the stack: redis://, rediss://, redis+sentinel://, redis+cluster://, mysql://, postgresql://."
    " The variable STORE_URL keeps its password out of the list of processes."
    "  [default at the first up: a Redis of the stack]",
)
@click.option(
    "--store-machine",
    default="",
    metavar="MACHINE",
    help="Machine of the stack's own Redis, where its volume is.  [default at the first up: this manager]",
)
@click.option(
    "--change-store",
    is_flag=True,
    help="Use another store than the last `up`: all users are logged out. --store-url none is the Redis of the stack.",
)
@_kept_option("--users", "alice,bob,carol", "NAMES", "First users of the shop.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="Variable of deploy/swarm/stack.yaml, such as SESSION_IDLE_TIMEOUT=3600; NAME= is its default again;"
    " may be repeated.",
)
@_kept_option(
    "--resolve-image",
    "always",
    "WHEN",
    "When to ask the registry for digests: always, changed, or never, for images that are on each machine already.",
    type=click.Choice(["always", "changed", "never"]),
)
@click.option(
    "--state",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder of the secrets and settings of the stack, which later updates need.  [default: swarm-NAME]",
)
@click.option(
    "--timeout",
    type=click.FloatRange(1, 3600),
    default=180.0,
    metavar="S",
    show_default=True,
    help="Seconds that it may take until all of it runs.",
)
def up(
    *,
    image: str,
    name: str,
    nodes: int,
    balance: str,
    port: int,
    hosts: tuple[str, ...],
    trusted_proxies: tuple[str, ...],
    store_url: str,
    store_machine: str,
    change_store: bool,
    users: str,
    settings: tuple[str, ...],
    resolve_image: str,
    folder: Path | None,
    timeout: float,
) -> None:
    """Start the stack, or update the one of this name; return when all of it runs.

    The first start makes the secrets in a folder of this machine. Keep that folder: Swarm never shows a secret again.
    An update replaces what has changed, one by one: a new node serves before an old one leaves, and where a new one
    does not run, Swarm goes back to what was before.

    An option that is not given is as at the last `up`, also after `down`. Another --host or --trusted-proxy replaces
    all of them, and `none` removes them; --set adds to what was set.

    \b
    Examples:
      session-cluster swarm up --image registry.example/shop:2 --nodes 6
      session-cluster swarm up --image shop:2 --store-url rediss://me:pw@redis/0
      session-cluster swarm up --image shop:2 --set NODE_WORKERS=2
      session-cluster swarm up --image shop:3 --set NODE_WORKERS=

    Exit status: 0 all of it runs; 1 an error, or an update was rolled back; 2 wrong usage; 130 stopped by Ctrl-C, while
    the update goes on.
    """
    folder = folder or Path(f"swarm-{name}")
    with _running() as console:
        asked = {
            "name": name,
            "image": image,
            "nodes": nodes,
            "balance": parse_balance(balance),
            "port": port,
            "hosts": tuple(each for each in hosts if each != _NONE),
            "trusted_proxies": tuple(each for each in trusted_proxies if each != _NONE),
            "store_url": "" if store_url == _NONE else store_url,
            "store_machine": store_machine,
            "users": tuple(part.strip() for part in users.split(",")),
            "variables": parse_variables(settings),
            "resolve_image": resolve_image,
        }
        chosen = choose_settings(asked, find_given(), folder, change_store=change_store)
        stack = Stack(name)
        stack.require_manager()
        _require_own(stack, folder)
        with console.status("deploying"):
            stack.deploy(chosen, folder)
            stack.wait_deployed(timeout)
        _introduce(console, stack, chosen, folder)


@swarm.command(short_help="Show services and tasks.")
@_name_option
def status(name: str) -> None:
    """Show how many tasks of each service run, where they run, and the errors of those that ended.

    Exit status: 0 all of it runs; 1 something does not, or an error; 2 wrong usage.
    """
    with _running() as console:
        stack = Stack(name)
        stack.require_manager()
        services = _require_services(stack)
        updates = stack.updates()
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for column in ("service", "running", "update"):
            table.add_column(column)
        for one in services:
            cells = (one.name, f"{one.running} of {one.desired}", updates.get(one.name, ""))
            table.add_row(*map(Text, cells))
        console.print(table)
        console.print()
        console.print(list_tasks(stack.tasks()))
        if any(one.running != one.desired for one in services):
            raise SystemExit(1)


@swarm.command(short_help="Remove the stack.")
@_name_option
def down(name: str) -> None:
    """Remove the stack with its secrets and networks; return when it is gone.

    The volume of the Redis stays on its machine, and the secrets and settings stay in the folder of `up`: the next `up`
    goes on with them.

    Exit status: 0 it is gone; 1 there is none, or an error; 2 wrong usage.
    """
    with _running() as console:
        stack = Stack(name)
        stack.require_manager()
        if not {"node", "proxy"} <= {one.name for one in _require_services(stack)}:
            raise ClusterError(f"{name} is another stack: it has no services node and proxy; use `docker stack rm`")
        machine = stack.redis_machine()
        with console.status("removing"):
            stack.remove()
        console.print(Text(f"removed {name}"))
        if machine:
            volume = f"docker volume rm {name}_redis-data"
            kept = Text(f"the sessions are kept; remove them on {machine}: {volume}", "dim")
            console.print(kept, soft_wrap=True)


@contextmanager
def _running() -> Iterator[Console]:
    """Yield the console of a command, which a signal stops and whose error is one line."""
    console = Console(highlight=False)
    with errors_in_one_line(console), interruptible():
        yield console


def _require_own(stack: Stack, folder: Path) -> None:
    """Raise ClusterError if there is a stack of this name whose secrets are not in `folder`."""
    if stack.services() and not (folder / "node" / "session-secrets").is_file():
        kept = f"its secrets are not in {folder}"
        raise ClusterError(
            f"there is a stack {stack.name} already, and {kept}: name their folder with --state, or another --name"
        )


def _require_services(stack: Stack) -> list[StackService]:
    services = stack.services()
    if not services:
        raise ClusterError(f"the swarm has no stack {stack.name}: start it with `session-cluster swarm up`")
    return services


def _introduce(console: Console, stack: Stack, settings: StackSettings, folder: Path) -> None:
    addresses = [f"http://{address}:{settings.port}" for address in stack.machines().values() if address]
    console.print(f"Open [bold]{escape(' or '.join(addresses))}[/]\n", soft_wrap=True)
    users = read_users(folder)
    store = "a store outside of the stack" if settings.store_url else f"a Redis on {stack.redis_machine()}"
    facts = {
        "users": escape(", ".join(users)),
        "password": f"[bold]{escape(next(iter(users.values())))}[/]",
        "cluster": escape(f"{settings.nodes} nodes, sessions in {store}, balancing {settings.balance}"),
        "secrets": escape(f"{folder}{os.sep}  (keep it: updates need it)"),
    }
    for what, value in facts.items():
        console.print(f"[dim]{what:<10}[/]{value}", soft_wrap=True)


def list_tasks(tasks: Iterable[Task]) -> RenderableType:
    """Return the tasks that should run, then those that ended with an error, which stands below each."""
    shown = [task for task in tasks if task.desired == "Running" or task.error]
    shown.sort(key=lambda task: (task.desired != "Running", task.name))
    rows = [("task", "machine", "state"), *((_short(task.name), task.machine, task.state) for task in shown)]
    widths = [max(map(len, column)) + 2 for column in zip(*rows, strict=True)]
    header, *lines = (Text("".join(map(str.ljust, row, widths)).rstrip()) for row in rows)
    header.stylize("dim")
    listed: list[RenderableType] = [header]
    for task, line in zip(shown, lines, strict=True):
        listed.append(line)
        if task.error:
            listed.append(Padding(Text(task.error, "red"), (0, 0, 0, 2), expand=False))
    return Group(*listed)


def _short(task: str) -> str:
    """Return the name of a task without the id of its machine, which those have that run on each."""
    service, _, number = task.partition(".")
    return task if number.isdecimal() else service
