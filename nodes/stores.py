"""The stores of a node, made from its settings, and their tables. A new kind of store belongs into `store_kinds.py`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING

import click

from .environment import SettingsError
from .sessions import Budgets, EncryptedStore, Encryption, ForeignTable, StoreUnavailable
from .settings import Settings
from .store_kinds import Stores, make, make_sql_stores

if TYPE_CHECKING:
    from .sessions.stores.sql import SqlStore


_HOUSEKEEPING = Budgets(connect_timeout=5, read_timeout=10, deadline=20)
_AT_START = Budgets(connect_timeout=1, read_timeout=1, retries=0, deadline=1)
"""For what a node does at each start: a database that does not answer must not hold it up."""


def make_stores(settings: Settings) -> Stores:
    """Return the stores, which connect when first used. Raises SettingsError."""
    try:
        stores = make(settings)
    except ValueError as error:
        raise _to_settings_error(settings, error) from None
    if not settings.encryption_keys:
        return stores
    keys, encryption = settings.encryption_keys, Encryption(settings.encryption)
    # Counters have nothing to hide.
    return stores._replace(
        sessions=EncryptedStore(stores.sessions, keys, encryption),
        accounts=EncryptedStore(stores.accounts, keys, encryption),
    )


def _to_settings_error(settings: Settings, error: ValueError) -> SettingsError:
    """Return the error of a store about its place, with the variable that names it."""
    return SettingsError(f"{settings.place_variable}: {error}")


def create_schema(settings: Settings) -> None:
    """Create the missing tables of `settings.database_url`. Do nothing for stores without a database.

    Raises SettingsError for a table of another application.
    """
    _for_each_table(settings, _HOUSEKEEPING, lambda store: store.create_schema())


def check_schema(settings: Settings) -> None:
    """Raise SettingsError for a table of another application. Missing tables are not an error."""
    _for_each_table(settings, _AT_START, lambda store: store.check_schema())


def _for_each_table(settings: Settings, budgets: Budgets, work: Callable[[SqlStore], object]) -> None:
    if settings.database_url is None:
        return
    try:
        for store in list(make_sql_stores(settings, budgets)):
            with closing(store):
                work(store)
    except ForeignTable as error:
        raise SettingsError(f"{error}; choose a STORE_NAMESPACE") from None
    except ValueError as error:
        raise _to_settings_error(settings, error) from None


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--check", is_flag=True, help="Create nothing. Only look whether a table is another application's.")
def main(check: bool) -> None:
    """Create the missing tables of the database that DATABASE_URL names.

    Settings are environment variables, as for a node. For stores without a database there is nothing to do.

    Exit status: 0 done; 1 the database is not available; 2 a wrong setting, or a table of another application.
    """
    try:
        (check_schema if check else create_schema)(Settings.from_environ(os.environ))
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except StoreUnavailable as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main(prog_name="python -m nodes.stores")
