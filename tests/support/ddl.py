"""The statements that create the SQL store's table, as docs/sql.md shows them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from nodes.sessions.stores.sql.statements import metadata


def ddl(url: str) -> str:
    """Return the statements of `create_schema` for a kind of database, such as `postgresql+psycopg://`."""
    statements: list[str] = []

    def collect(statement: Any, *_: Any, **__: Any) -> None:
        text = str(statement.compile(dialect=engine.dialect)).strip().replace("\t", "    ")
        statements.append("\n".join(line.rstrip() for line in text.splitlines() if line.strip()) + ";")

    engine = sa.create_mock_engine(url, collect)
    metadata.create_all(engine, checkfirst=False)
    # The indexes of a table are a set, whose order differs between processes.
    indexes = sorted(statement for statement in statements if statement.startswith("CREATE INDEX"))
    others = [statement for statement in statements if statement not in indexes]
    return "\n\n".join([others[0], *indexes, *others[1:]])
