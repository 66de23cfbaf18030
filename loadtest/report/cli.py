"""`session-cluster report`."""

from pathlib import Path

import click


@click.command(short_help="One page of all results in a folder.")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--title", metavar="TEXT", help="Of the page.")
def report(folder: Path, title: str | None) -> None:
    """Write DIR/report.html, results.json and results.md anew from the results in DIR.

    The page opens offline: plots and style are in it. results.json has everything; results.md is a table for a pull
    request.
    """
    from loadtest.report.write import TITLE, NothingToReport, write_report

    try:
        path = write_report(folder, title or TITLE)
    except (NothingToReport, OSError, ValueError) as error:
        said = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
        raise click.ClickException(said) from error
    click.echo(path)
