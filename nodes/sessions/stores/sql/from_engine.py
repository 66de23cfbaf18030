"""An engine like one of the application: with the same database and account, and the budgets of a store.

The application's own engine is not used. Its pool may be exhausted by slow pages, its timeouts are the driver's, and
its isolation level and transactions are the application's. So only its URL is taken over, and what is beside the URL is
refused where it would change which database is reached, or how: without it the connections would not be alike.
"""

from __future__ import annotations

import inspect
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from ...checks import describe_type
from ...store import Budgets
from .engine import BUDGETED, make_engine

_OF_THE_STORE = {*BUDGETED, "autocommit", "check_same_thread", "client_encoding", "charset"}
"""Parameters of a driver that the store sets itself."""


def to_url(engine: object) -> str:
    """Return the URL of `engine`, with its password. Raises TypeError for another object, ValueError."""
    if not isinstance(engine, Engine):
        raise TypeError(f"engine must be a sqlalchemy.Engine, not {describe_type(engine)}")
    if (lost := _beside_url(engine)) is not None:
        raise ValueError(f"engine has {lost}, which a store can't take over: use SqlStore.from_url with all in the URL")
    return engine.url.render_as_string(hide_password=False)


def make_like(engine: object, budgets: Budgets) -> Engine:
    """Return another engine to the same database, within `budgets`. Raises TypeError, ValueError."""
    return make_engine(to_url(engine), budgets)


def _beside_url(engine: Engine) -> str | None:
    """Return what says, beside the URL, how the engine connects; None for nothing."""
    if "schema_translate_map" in engine.get_execution_options():
        return "a schema_translate_map"
    if engine.dialect.dispatch.do_connect:
        return "a listener of do_connect"
    names = inspect.getclosurevars(_creator(engine)).nonlocals
    if "cparams" not in names or "cargs_tup" not in names:
        return "a creator"
    try:
        arguments, parameters = engine.dialect.create_connect_args(engine.url)
    except SQLAlchemyError:
        return None  # the URL itself is wrong, and make_engine says so
    given = {name for name, value in names["cparams"].items() if value != parameters.get(name)}
    if given - _OF_THE_STORE or list(names["cargs_tup"]) != list(arguments):
        return f"connect_args ({', '.join(sorted(given - _OF_THE_STORE))})"
    return None


def _creator(engine: Engine) -> Any:
    return engine.pool._creator
