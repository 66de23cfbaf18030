"""The stores of a node, made from its settings, and their tables."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import click

from .environment import SettingsError
from .sessions import (
    Budgets,
    Durability,
    EncryptedStore,
    Encryption,
    FileStore,
    ForeignTable,
    MemoryStore,
    Outage,
    OutagePolicy,
    RedisStore,
    Store,
    StoreUnavailable,
)
from .sessions.stores.express import ExpressStore
from .sessions.stores.redis import connect
from .settings import SessionStoreKind, Settings

if TYPE_CHECKING:
    from .sessions.stores.sql import SqlStore


RATE_LIMITS = "rate_limits"
"""The prefix, table or folder of the rate limiter's counters, after the namespace."""
ACCOUNTS = "accounts"
"""The prefix, table or folder of the users, after the namespace."""
_HOUSEKEEPING = Budgets(connect_timeout=5, read_timeout=10, deadline=20)
_AT_START = Budgets(connect_timeout=1, read_timeout=1, retries=0, deadline=1)
"""For what a node does at each start: a database that does not answer must not hold it up."""


class Stores(NamedTuple):
    """A node's stores, on one set of connections."""

    sessions: Store
    rate_limits: Store
    accounts: Store


def make_stores(settings: Settings) -> Stores:
    """Return the stores, which connect when first used. Raises SettingsError."""
    try:
        stores = _make_stores(settings)
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
    """Return the error of a store about its URL, with the variable that has it."""
    return SettingsError(f"{'DATABASE_URL' if settings.store is SessionStoreKind.SQL else 'REDIS_URL'}: {error}")


def _make_stores(settings: Settings) -> Stores:
    budgets = Budgets(
        connect_timeout=settings.connect_timeout,
        read_timeout=settings.read_timeout,
        retries=settings.retries,
        deadline=settings.deadline,
        max_reply=max(Budgets().max_reply, 2 * settings.max_bytes),
    )
    match settings.store:
        case SessionStoreKind.MEMORY:
            return Stores(MemoryStore(), MemoryStore(), MemoryStore())
        case SessionStoreKind.FILE:
            assert settings.folder is not None, "Settings.from_environ demands it"
            folders = (settings.folder, settings.folder / RATE_LIMITS, settings.folder / ACCOUNTS)
            return Stores(*(FileStore(folder, lock_timeout=settings.deadline) for folder in folders))
        case SessionStoreKind.SQL:
            # Databases allow far fewer connections than Redis: PostgreSQL 100, for all nodes.
            return Stores(*_make_sql_stores(settings, replace(budgets, max_connections=16)))
        case SessionStoreKind.EXPRESS | SessionStoreKind.REDIS:
            return _make_redis_stores(settings, budgets)


def _make_redis_stores(settings: Settings, budgets: Budgets) -> Stores:
    assert settings.redis_url is not None
    outage = OutagePolicy(Outage(settings.outage), settings.wait_seconds, settings.waiting)
    durability = Durability(settings.durability)
    connections = connect(settings.redis_url, budgets, durability)

    namespace = f"{settings.namespace}:" if settings.namespace else ""

    def make(name: str, durability: Durability = durability) -> RedisStore:
        return RedisStore(connections, budgets, f"{namespace}{name}:", durability, settings.replicas, outage)

    # A lost change of password would bring the old one back, so it is a revocation.
    revocation = Durability.PRIMARY if durability is Durability.PRIMARY else Durability.EVERY_WRITE
    rate_limits, accounts = make(RATE_LIMITS), make(ACCOUNTS, revocation)
    if settings.store is SessionStoreKind.EXPRESS:
        return Stores(ExpressStore(connections, f"{namespace}sess:", outage=outage), rate_limits, accounts)
    return Stores(make("session"), rate_limits, accounts)


def _make_sql_stores(settings: Settings, budgets: Budgets) -> Iterator[SqlStore]:
    # Here, because the other stores don't need SQLAlchemy.
    from .sessions.stores.sql import SqlStore
    from .sessions.stores.sql.engine import make_engine, make_housekeeping_budgets

    assert settings.database_url is not None
    engine = make_engine(settings.database_url, budgets)
    housekeeping = make_engine(settings.database_url, make_housekeeping_budgets(budgets))
    namespace = f"{settings.namespace}_" if settings.namespace else ""
    for table in ("sessions", RATE_LIMITS, ACCOUNTS):
        yield SqlStore(engine, budgets, housekeeping, f"{namespace}{table}")


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
        for store in list(_make_sql_stores(settings, budgets)):
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
