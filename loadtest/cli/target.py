"""`session-cluster target`: describe an application of your own."""

from pathlib import Path

import click

from loadtest.cli.shared import writing
from loadtest.described.init import describe_compose
from loadtest.described.toml import DescriptionError


@click.group(short_help="Describe an application of your own, to load and to break it.")
def target() -> None:
    """Describe a web application with sessions in a TOML file: how a browser uses it, and how its servers are broken.

    The commands load, failover and console run on it with --target FILE. docs/targets.md explains every key.
    """


@target.command(short_help="Begin a target's file from a compose file.")
@click.argument("compose", metavar="COMPOSE", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write this file, which must be new. Default: print it.",
)
def init(compose: Path, output: Path | None) -> None:
    """Print a commented TOML file for the services of a compose file, with what can be guessed.

    Roles come from images, commands, ports and names, the address from published ports, the session's cookie and the
    forms from the framework. Each guess is marked; for what can't be known a comment says how to find out. No engine is
    needed.

    Exit status: 0 written; 1 COMPOSE is not a compose file, or FILE exists; 2 wrong usage.
    """
    try:
        text = describe_compose(compose, output or Path("shop.toml"))
    except DescriptionError as error:
        raise click.ClickException(str(error)) from error
    if output is None:
        click.echo(text, nl=False)
        return
    with writing(output):
        try:
            with output.open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            raise click.ClickException(f"{output} exists; name a new file, or remove it") from None
    click.echo(f"{output}: correct what is marked as a guess, then run: session-cluster target check {output}")
