"""Options that several commands have."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

EXECUTABLE = click.Path(path_type=Path)


def own_programs(command: Command) -> Command:
    """--store-server and --nginx: what the processes of local clusters are made of."""
    nginx = click.option(
        "--nginx", type=EXECUTABLE, metavar="PATH", help="The nginx to use; default: the embedded one."
    )
    store_server = click.option(
        "--store-server",
        type=EXECUTABLE,
        metavar="PATH",
        help="The Redis or Valkey server to use; default: the embedded one.",
    )
    return store_server(nginx(command))
