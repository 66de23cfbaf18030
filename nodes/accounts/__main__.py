"""The users of a running cluster, in the store of this environment's settings. A change holds on every node at once.

    python -m nodes.accounts list
    python -m nodes.accounts add NAME…            new users; prints their passwords
    python -m nodes.accounts password NAME        a new password, which it prints; ends all sessions
    python -m nodes.accounts disable NAME         refuses logins, and ends all sessions; enable undoes it
    python -m nodes.accounts import FILE          the users of a users file that the store does not have
    python -m nodes.accounts rewrite              encrypts with the first of SESSION_ENCRYPTION_KEYS
    python -m nodes.accounts make FILE NAME…      a users file; needs no store

In containers: `docker compose exec node python -m nodes.accounts …`. A command that fails can be repeated.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import click

from ..admin import HELP, Administration
from ..app import create_app
from ..sessions import Sessions, StoreUnavailable
from ..settings import Settings
from ..store_kinds import SessionStoreKind
from .file import Account, check_name, create_users, read_accounts
from .passwords import UsersError, hash_password, random_password
from .users import Users


class _Cluster(NamedTuple):
    users: Users
    sessions: Sessions


@click.group(cls=Administration, context_settings=HELP)
def main() -> None:
    """Manage the users of a cluster, at once and for all nodes.

    The store is the nodes' own: settings are environment variables, as for a node. In containers: docker compose exec
    node python -m nodes.accounts …
    """


@main.command("list")
def list_users() -> None:
    """List the users: name, and `disabled` where they may not log in."""
    for account in _cluster().users.all():
        click.echo(account.name if account.enabled else f"{account.name} disabled")


@main.command()
@click.argument("names", metavar="NAME…", nargs=-1, required=True)
def add(names: tuple[str, ...]) -> None:
    """Add users, and print the password of each."""
    users = _cluster().users
    for name in names:
        check_name(name)
        password = random_password()
        if users.get(name) is not None or not users.add(Account(name, hash_password(password))):
            raise UsersError(f"user {name!r} exists already; give them a password with `password {name}`")
        click.echo(f"{name} {password}")


@main.command(short_help="Give a user a new password, and end all their sessions.")
@click.argument("name")
def password(name: str) -> None:
    """Give a user a new random password, print it, and end all their sessions."""
    users, sessions = _cluster()
    new = random_password()
    account = users.reset_password(name, new)
    _end_all(sessions, name, "has a new password")
    users.finish(account)
    click.echo(f"{name} {new}")


@main.command()
@click.argument("name")
def disable(name: str) -> None:
    """Refuse a user's logins, and end all their sessions."""
    users, sessions = _cluster()
    users.set_enabled(name, enabled=False)  # first, so that no login follows the end of the sessions
    ended = _end_all(sessions, name, "is disabled")
    click.echo(f"{name} is disabled; {ended} sessions ended")


@main.command()
@click.argument("name")
def enable(name: str) -> None:
    """Let a user log in again. Sessions that `disable` could not end are ended first."""
    users, sessions = _cluster()
    account = users.get(name)
    if account is not None and not account.enabled:
        sessions.end_all(name)
    users.set_enabled(name, enabled=True)
    click.echo(f"{name} is enabled")


@main.command("import")
@click.argument("file", type=click.Path(path_type=Path))
def import_file(file: Path) -> None:
    """Add the users of a users file that the store does not have. The others stay as they are."""
    users = _cluster().users
    accounts = read_accounts(file)
    added = sum(users.add(account) for account in accounts.values())
    click.echo(f"{added} of {len(accounts)} users added")


@main.command(short_help="Encrypt all users with the first encryption key.")
def rewrite() -> None:
    """Encrypt all users with the first of SESSION_ENCRYPTION_KEYS: before a key is removed, or plain values refused."""
    click.echo(f"{_cluster().users.rewrite()} users written")


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("names", metavar="NAME…", nargs=-1, required=True)
def make(file: Path, names: tuple[str, ...]) -> None:
    """Make a users file, and print the password of each user."""
    passwords = create_users(file, names)
    if not passwords:
        raise UsersError(f"{file} must be a new file; give another path, or remove it")
    for name, word in passwords.items():
        click.echo(f"{name} {word}")


def _cluster() -> _Cluster:
    settings = Settings.from_environ(os.environ)
    if settings.store is SessionStoreKind.MEMORY:
        raise UsersError("SESSION_STORE=memory keeps users in each process of a node; use another store")
    app = create_app(settings)
    return _Cluster(app.extensions["users"], app.extensions["sessions"])


def _end_all(sessions: Sessions, name: str, state: str) -> int:
    """End a user's sessions. The error of an unavailable store says what `state` the user is in."""
    try:
        return sessions.end_all(name)
    except StoreUnavailable as error:
        raise UsersError(f"{name} {state}, but their sessions may go on: {error}; repeat the command") from error


if __name__ == "__main__":
    main(prog_name="python -m nodes.accounts")
