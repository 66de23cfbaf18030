"""The idioms of Flask's test client: sessions before, between and after requests, over HTTP and TLS."""

from __future__ import annotations

from collections.abc import Iterator

import flask
import pytest
from flask import Flask

from nodes.sessions import MemoryStore, Sessions


@pytest.fixture
def app() -> Flask:
    app = Flask("tests")
    app.config.update(SECRET_KEY="k" * 32, TESTING=True)
    Sessions(app, store=MemoryStore())

    @app.get("/")
    def index() -> str:
        return str(flask.session.get("a"))

    @app.post("/")
    def post() -> str:
        flask.flash("hello")
        flask.session["a"] = "posted"
        return "ok"

    @app.get("/stream")
    def stream() -> flask.Response:
        def page() -> Iterator[str]:
            yield "<html>"
            yield from map(str, flask.get_flashed_messages())
            yield "</html>"

        return flask.Response(flask.stream_with_context(page()))

    return app


@pytest.mark.parametrize("before", ["http", "https"])
@pytest.mark.parametrize("after", ["http", "https"])
def test_a_session_is_prepared_and_read_whatever_the_schemes(app: Flask, before: str, after: str) -> None:
    client = app.test_client()
    with client.session_transaction(base_url=f"{before}://localhost") as session:
        session["a"] = 1
    assert client.get("/", base_url=f"{after}://localhost").text == "1"
    client.post("/", base_url=f"{after}://localhost")
    with client.session_transaction(base_url=f"{after}://localhost") as session:
        assert session["a"] == "posted"
        session["a"] = 2
    assert client.get("/", base_url=f"{after}://localhost").text == "2"


def test_a_session_is_read_and_changed_after_a_request(app: Flask) -> None:
    with app.test_client() as client:
        client.post("/")
        assert flask.get_flashed_messages() == ["hello"]
        assert flask.session.pop("a") == "posted"
        flask.session["b"] = 1
        flask.session.clear()
    with client.session_transaction() as session:
        assert session["a"] == "posted"


def test_only_a_test_reads_the_cookie_of_the_other_scheme(app: Flask) -> None:
    client = app.test_client()
    client.post("/")
    app.testing = False
    assert client.get("/", base_url="https://localhost").text == "None"


def test_a_page_that_pops_flashes_while_it_streams_is_whole_and_shows_them_once(app: Flask) -> None:
    client = app.test_client()
    client.post("/")
    assert client.get("/stream").text == "<html>hello</html>"
    assert client.get("/stream").text == "<html></html>"


def test_a_write_in_a_teardown_does_not_raise_into_the_server(app: Flask) -> None:
    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        flask.session["late"] = 1

    client = app.test_client()
    assert client.get("/").text == "None"
    client.post("/")
    with client.session_transaction() as session:
        assert "late" not in session
