"""Administration of sessions, in the store of this environment's settings:

    python -m nodes.admin list --user alice
    python -m nodes.admin end --user alice        or --all

In containers: `docker compose exec node python -m nodes.admin …`. `python -m nodes.accounts` is for the users.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

import click

from .account_sessions import browser_name
from .accounts import UsersError
from .app import create_app
from .environment import SettingsError
from .sessions import Sessions, StoreUnavailable, UserSessions
from .sessions.checks import to_owner
from .settings import Settings

HELP = {"help_option_names": ["-h", "--help"]}


class Administration(click.Group):
    """Commands whose errors are one line."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (SettingsError, UsersError, StoreUnavailable) as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=Administration, context_settings=HELP)
def main() -> None:
    """List and end the sessions of users, at once and for all nodes.

    The store is the nodes' own: settings are environment variables, as for a node. In containers: docker compose exec
    node python -m nodes.admin …
    """


def _check_name(_context: click.Context, _option: click.Parameter, name: str | None) -> str | None:
    try:
        return None if name is None else to_owner(name, "it")
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@main.command("list")
@click.option("--user", required=True, metavar="NAME", callback=_check_name, help="The user's name.")
def list_sessions(user: str) -> None:
    """List the sessions of a user."""
    for one in _users(_sessions(_settings())).of(user):
        since = datetime.fromtimestamp(one.created, UTC).isoformat(timespec="seconds")
        click.echo(f"{one.handle}  {since}  {one.address or '-':<15}  {browser_name(one.browser or '')}")


@main.command()
@click.option("--user", metavar="NAME", callback=_check_name, help="End all sessions of this user.")
@click.option("--all", "everyone", is_flag=True, help="End all sessions of all users.")
def end(user: str | None, everyone: bool) -> None:
    """End sessions at the store, at once and for all nodes."""
    if (user is None) is not everyone:
        raise click.UsageError("give --user NAME or --all")
    sessions = _sessions(_settings())
    ended = sessions.end_everyone() if user is None else sessions.end_all(user)
    click.echo(f"{ended} sessions ended")


def _settings() -> Settings:
    return Settings.from_environ(os.environ)


def _sessions(settings: Settings) -> Sessions:
    sessions: Sessions = create_app(settings).extensions["sessions"]
    return sessions


def _users(sessions: Sessions) -> UserSessions:
    if sessions.users is None:
        raise click.ClickException("this session store can't list the sessions of a user")
    return sessions.users


if __name__ == "__main__":
    main()
