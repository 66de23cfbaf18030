"""The session store that a node's settings name, and what it needs before it can be used."""

from __future__ import annotations

import os
import sys
from dataclasses import replace

from .environment import SettingsError
from .sessions import (
    Budgets,
    Durability,
    EncryptedStore,
    Encryption,
    FileStore,
    MemoryStore,
    Outage,
    OutagePolicy,
    RedisStore,
    Store,
)
from .sessions.store import StoreUnavailable
from .sessions.stores.express import ExpressStore
from .sessions.stores.express_file import ExpressFileStore
from .settings import ExpressFormat, Settings, StoreKind


def store_of(settings: Settings) -> Store:
    """The store; it asks nobody anything before it is used. `SettingsError` for what can't be meant."""
    try:
        store = _chosen(settings)
        if not settings.encryption_keys:
            return store
        return EncryptedStore(store, settings.encryption_keys, Encryption(settings.encryption))
    except ValueError as error:
        raise SettingsError(f"SESSION_STORE={settings.store.value}: {error}") from None


def _chosen(settings: Settings) -> Store:
    budgets = Budgets(
        connect_timeout=settings.connect_timeout,
        read_timeout=settings.read_timeout,
        retries=settings.retries,
        deadline=settings.deadline,
    )
    match settings.store:
        case StoreKind.MEMORY:
            return MemoryStore()
        case StoreKind.FILE:
            assert settings.folder is not None, "Settings.from_environ demands it"
            return FileStore(settings.folder, lock_timeout=settings.deadline)
        case StoreKind.SQL:
            assert settings.database_url is not None
            from .sessions.stores.sql import SqlStore  # SQLAlchemy, which the others need not load

            # Databases have far fewer connections to give away than Redis: PostgreSQL 100, for all nodes.
            return SqlStore.from_url(settings.database_url, replace(budgets, max_connections=16))
        case StoreKind.EXPRESS:
            return _shared_with_express(settings, budgets)
        case StoreKind.REDIS:
            assert settings.redis_url is not None
            durability = Durability(settings.durability)
            return RedisStore.from_url(
                settings.redis_url,
                budgets,
                durability=durability,
                replicas=settings.replicas,
                outage=_outage_policy(settings),
            )


def _shared_with_express(settings: Settings, budgets: Budgets) -> Store:
    match settings.express:
        case ExpressFormat.FILE:
            assert settings.folder is not None
            # Its ttl is how long a session lives that has no age of its own: as long here as there.
            return ExpressFileStore(settings.folder, ttl=settings.idle_timeout, lock_timeout=settings.deadline)
        case ExpressFormat.MYSQL:
            assert settings.database_url is not None
            from .sessions.stores.express_sql import ExpressSqlStore

            return ExpressSqlStore.from_url(settings.database_url, replace(budgets, max_connections=16))
        case ExpressFormat.REDIS:
            assert settings.redis_url is not None
            return ExpressStore.from_url(settings.redis_url, budgets, outage=_outage_policy(settings))


def _outage_policy(settings: Settings) -> OutagePolicy:
    return OutagePolicy(Outage(settings.outage), settings.wait_seconds, settings.waiting)


def create_schema(settings: Settings) -> None:
    """Makes the tables of `settings.database_url` where they are missing; nothing for stores without a database."""
    if settings.database_url is None:
        return
    from .sessions.stores.express_sql import ExpressSqlStore
    from .sessions.stores.sql import SqlStore

    kind = ExpressSqlStore if settings.store is StoreKind.EXPRESS else SqlStore
    store = kind.from_url(settings.database_url, Budgets(connect_timeout=5, read_timeout=10, deadline=20))
    store.create_schema()
    store.close()


def main() -> None:
    """`python -m nodes.stores`: makes the tables that this environment's settings name."""
    try:
        create_schema(Settings.from_environ(os.environ))
    except (SettingsError, StoreUnavailable) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
