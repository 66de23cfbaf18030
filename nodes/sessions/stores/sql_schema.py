"""The table of the SQL store, and the one expression in which its databases differ: what time it is."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Index,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    create_mock_engine,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

FORMAT = 1
"""The version of the rows that this code writes and reads."""
MAX_OWNER = 255
"""The most characters that the name of a session's owner may have."""

metadata = MetaData()
"""For migrations: name it in Alembic's `target_metadata`."""


def _text(length: int, charset: str) -> String:
    """Compared byte by byte: neither case nor accents are alike, whatever the database's own collation is."""
    exact = mysql.VARCHAR(length, charset=charset, collation=f"{charset}_bin")
    return (
        String(length)
        .with_variant(exact, "mysql", "mariadb")
        .with_variant(String(length, collation="C"), "postgresql")
        .with_variant(String(length, collation="BINARY"), "sqlite")
    )


def make_table(name: str, metadata: MetaData) -> Table:
    """Return the table of a store, with its indexes."""
    return Table(
        name,
        metadata,
        Column("key", _text(64, "ascii"), primary_key=True, comment="SHA-256 of the session's id, hexadecimal"),
        Column(
            "set_aside",
            BigInteger,
            primary_key=True,
            autoincrement=False,
            comment="0 for a session; when a damaged one was taken out of the way, in ms since the epoch",
        ),
        Column("owner", _text(MAX_OWNER, "utf8mb4"), comment="whom the session belongs to; NULL: nobody is logged in"),
        Column("created", BigInteger, nullable=False, comment="ms since the epoch"),
        Column("expires", BigInteger, nullable=False, comment="ms since the epoch"),
        Column("final", Boolean, nullable=False, comment="whether the absolute timeout decides when it expires"),
        Column("format", SmallInteger, nullable=False, comment="version of the row"),
        Column(
            "fields",
            LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb"),
            nullable=False,
            comment="MessagePack: a map of names to encoded values",
        ),
        Index(f"{name}_by_owner", "owner", "created"),
        Index(f"{name}_by_expiry", "expires"),
    )


sessions = make_table("sessions", metadata)


class now_ms(FunctionElement[int]):  # noqa: N801 - used like a function
    """The database's clock in ms since the epoch, the same throughout one statement.

    Not the beginning of the transaction (PostgreSQL's `now()`): an update may have waited for its row. Not the
    session's time zone (MySQL's `UNIX_TIMESTAMP(NOW())`): one hour of it comes twice a year.
    """

    type = BigInteger()
    inherit_cache = True


@compiles(now_ms, "postgresql")
def _postgresql(_element: now_ms, _compiler: SQLCompiler, **_options: Any) -> str:
    return "CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)"


@compiles(now_ms, "mysql")
@compiles(now_ms, "mariadb")
def _mysql(_element: now_ms, _compiler: SQLCompiler, **_options: Any) -> str:
    return "(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000)"


@compiles(now_ms, "sqlite")
def _sqlite(_element: now_ms, _compiler: SQLCompiler, **_options: Any) -> str:
    return "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"


def create_missing(connection: Connection, table: Table) -> None:
    """Create the table and its indexes, each where it is missing."""
    table.create(connection, checkfirst=True)
    for index in sorted(table.indexes, key=lambda index: str(index.name)):
        index.create(connection, checkfirst=True)  # where a node ended between the table and its indexes


def ddl(url: str) -> str:
    """What `create_schema` sends to a database of this kind, such as `postgresql+psycopg://`."""
    statements: list[str] = []

    def collect(statement: Any, *_: Any, **__: Any) -> None:
        text = str(statement.compile(dialect=engine.dialect)).strip().replace("\t", "    ")
        statements.append("\n".join(line.rstrip() for line in text.splitlines() if line.strip()) + ";")

    engine = create_mock_engine(url, collect)
    metadata.create_all(engine, checkfirst=False)
    # The indexes of a table are a set; their order is not the same in each process.
    indexes = sorted(statement for statement in statements if statement.startswith("CREATE INDEX"))
    others = [statement for statement in statements if statement not in indexes]
    return "\n\n".join([others[0], *indexes, *others[1:]])
