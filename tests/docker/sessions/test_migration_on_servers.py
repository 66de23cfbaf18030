"""Sessions of Flask-Session in MariaDB and PostgreSQL, written by it, move to a table of ours in the same database."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest
from flask import Flask
from flask_session import Session as FlaskSession  # type: ignore[import-untyped]

from nodes.sessions import FlaskSessionSql, Sessions, SqlStore
from tests.integration.sessions.test_migration import browser_with, find_owner, log_in, make_app, user_of
from tests.support.lacks import import_package
from tests.support.sql_servers import SqlServer

DRIVERS = {"mysql": "mysql+pymysql", "mariadb": "mariadb+pymysql", "postgresql": "postgresql+psycopg"}


@pytest.mark.docker
@pytest.mark.parametrize("kind", ["mysql", "postgres"])
def test_a_user_stays_logged_in_until_the_logout_which_is_final(kind: str, request: pytest.FixtureRequest) -> None:
    flask_sqlalchemy = import_package("flask_sqlalchemy")
    server: SqlServer = request.getfixturevalue(kind)
    scheme, _, rest = server.database("migrated").partition("://")
    url = f"{DRIVERS[scheme]}://{rest}"

    def old() -> tuple[Flask, Any]:
        app = make_app({"SQLALCHEMY_DATABASE_URI": url, "SESSION_TYPE": "sqlalchemy"})
        if kind == "postgres":  # whose databases have no encoding here
            app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {"connect_args": {"client_encoding": "utf8"}}
        database = app.config["SESSION_SQLALCHEMY"] = flask_sqlalchemy.SQLAlchemy(app)
        FlaskSession(app)
        return app, database

    before, database = old()
    with before.app_context():
        engine = database.engine
    cookies = log_in(before)
    with closing(SqlStore.from_engine(engine, table="shared_sessions")) as store:
        store.create_schema()
        app = make_app({})
        Sessions(app, store=store, migrate_from=[FlaskSessionSql(engine, owner=find_owner)])
        browser = browser_with(app, cookies)
        assert user_of(browser) == user_of(browser) == "alice"
        with engine.connect() as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM sessions").scalar_one() == 0
        browser.post("/logout")
        assert user_of(browser_with(app, cookies)) is None
    engine.dispose()
