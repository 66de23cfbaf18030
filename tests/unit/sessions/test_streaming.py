"""A streamed response: what its generator can still do with the session after the headers have left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import flask
import pytest
from werkzeug.exceptions import NotFound

from nodes.sessions import CookieNotSendable, MemoryStore, Session, current_session
from tests.support.browser import Browser, View, application


def stream(late: View, *, begin: bool = True) -> tuple[Exception | None, dict[str, Any]]:
    """Store `a` in a new session, and call `late` once the headers have left. Return its error and the data stored.

    `begin=False`: no session has begun before the headers leave.
    """
    app = application(MemoryStore())
    errors: list[Exception | None] = []

    @app.get("/")
    def view() -> flask.Response:
        if begin:
            flask.session["a"] = [1]

        def body() -> Iterator[str]:
            yield "begun"
            try:
                late(flask.session)  # type: ignore[arg-type]
                errors.append(None)
            except (RuntimeError, CookieNotSendable) as error:
                errors.append(error)
            yield "ended"

        return flask.Response(flask.stream_with_context(body()))

    reply = app.test_client().get("/")
    assert reply.text == "begunended"
    owner, data = Browser(app).read(header=reply.headers.get("Set-Cookie", "").partition(";")[0])
    assert owner is None
    return errors[0], data


@pytest.mark.parametrize(
    "late",
    [
        lambda session: session.update(b=2),
        lambda session: session.setdefault("b", 2),
        lambda session: setattr(current_session, "max_age", 60),
        lambda session: setattr(session, "permanent", True),
    ],
    ids=["set", "setdefault", "lifetime", "permanent"],
)
def test_a_session_that_would_have_to_begin_in_a_stream_is_an_error(late: View) -> None:
    error, data = stream(late, begin=False)
    assert isinstance(error, RuntimeError)
    assert "the response has begun" in str(error)
    assert data == {}


def test_a_login_whose_cookie_cannot_be_sent_is_an_error() -> None:
    error, data = stream(lambda session: current_session.renew("alice"))
    assert isinstance(error, CookieNotSendable)
    assert data == {"a": [1]}


@pytest.mark.parametrize(
    ("late", "left"),
    [
        (lambda session: session["a"], {"a": [1]}),
        (lambda session: session.update(b=2), {"a": [1], "b": 2}),
        (lambda session: session.pop("a"), {}),
        (lambda session: session["a"].append(2), {"a": [1, 2]}),
        (lambda session: session.clear(), {}),
        (lambda session: current_session.mutate("a", lambda a: [*a, 2]), {"a": [1, 2]}),
        (lambda session: session["a"].append(2) or current_session.save(), {"a": [1, 2]}),
        (lambda session: current_session.touch(), {"a": [1]}),
        (lambda session: current_session.end(), {}),
    ],
    ids=["read", "set", "delete", "inside", "clear", "mutate", "save", "touch", "end"],
)
def test_what_a_stream_does_to_a_session_that_exists_is_saved(late: View, left: dict[str, Any]) -> None:
    assert stream(late) == (None, left)


def test_no_session_is_created_after_the_response() -> None:
    with Browser(application(MemoryStore())).request() as (session, _):
        pass
    with pytest.raises(RuntimeError, match="the response has begun"):
        Session.of(session).mutate("n", lambda n: n + 1, 0)


class Pieces:
    """A body that notes that it was closed."""

    closed = 0

    def __iter__(self) -> Iterator[str]:
        yield "begun"
        yield "ended"

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_body_of_a_stream_is_closed_once(method: str) -> None:
    app, body = application(MemoryStore()), Pieces()
    app.get("/")(lambda: flask.Response(body))
    app.test_client().open("/", method=method).close()
    assert body.closed == 1


def test_a_stream_whose_client_hangs_up_saves_what_it_did() -> None:
    app = application(MemoryStore())

    @app.get("/")
    def view() -> flask.Response:
        flask.session["a"] = 1

        def body() -> Iterator[str]:
            yield "begun"
            flask.session["a"] = 2
            yield "unread"

        return flask.Response(flask.stream_with_context(body()))

    reply = app.test_client().get("/", buffered=False)
    pieces = reply.iter_encoded()
    assert [next(pieces), next(pieces)] == [b"begun", b"unread"]
    reply.close()
    cookie = reply.headers["Set-Cookie"].partition(";")[0]
    assert Browser(app).read(header=cookie)[1] == {"a": 2}


def another_application(environ: Any, start_response: Any) -> Any:
    return flask.Response("whole")(environ, start_response)


WHOLE: dict[str, Callable[[], Any]] = {
    "abort": lambda: flask.abort(404),
    "an error that is returned": NotFound,
    "abort with a response": lambda: flask.abort(flask.make_response("no", 403)),
    "abort with a response without a body": lambda: flask.abort(flask.Response(status=304)),
    "another application": lambda: another_application,
}


@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("view", WHOLE.values(), ids=WHOLE)
def test_a_response_of_an_error_or_of_another_application_is_not_a_stream(
    view: Callable[[], Any], method: str, exists: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Flask makes a response of it whose body has no length."""
    app, plain = application(MemoryStore()), flask.Flask("plain")
    app.get("/view")(view)
    plain.get("/view")(view)
    browser = Browser(app)
    if exists:
        browser.put(a=0)

    @app.teardown_request
    def late(_: BaseException | None) -> None:
        if flask.request.path == "/view":
            flask.session["a"] = 1

    given = {"Cookie": browser.header} if exists else {}
    clients = (each.test_client(use_cookies=False) for each in (app, plain))
    reply, expected = (each.open("/view", method=method, headers=given) for each in clients)
    assert (reply.status, reply.data, list(reply.headers)) == (expected.status, expected.data, list(expected.headers))
    assert f"a session was changed after the response to {method} /view; this is not saved" in caplog.text
    assert browser.data == ({"a": 0} if exists else {})


STREAMS: dict[str, Callable[[], Any]] = {
    "a generator": lambda: iter(["a", "b"]),
    "in the context of the request": lambda: flask.stream_with_context(iter(["a", "b"])),
    "an error": lambda: flask.abort(flask.Response(iter(["a", "b"]))),
}


@pytest.mark.parametrize("begin", [False, True])
@pytest.mark.parametrize("view", STREAMS.values(), ids=STREAMS)
def test_a_change_in_the_teardown_of_a_stream_cuts_no_stream(
    view: Callable[[], Any], begin: bool, caplog: pytest.LogCaptureFixture
) -> None:
    app = application(MemoryStore())
    app.get("/")(view)

    @app.get("/begin")
    def begin_session() -> str:
        flask.session["a"] = 1
        return ""

    @app.teardown_request
    def late(_: BaseException | None) -> None:
        if flask.request.path == "/":
            flask.session["late"] = 1

    client = app.test_client()
    if begin:
        client.get("/begin")
    assert client.get("/").text == "ab"
    # Flask calls it twice for a stream in the request's context.
    lines = {record.getMessage() for record in caplog.records}
    assert lines == (set() if begin else {"a session was changed after the response to GET /; this is not saved"})
    with client.session_transaction() as session:
        assert dict(session) == ({"a": 1, "late": 1} if begin else {})


def test_a_change_after_a_stream_is_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    app = application(MemoryStore())
    app.get("/")(STREAMS["a generator"])
    with app.test_client() as client:
        assert client.get("/").text == "ab"
        flask.session["late"] = 1
    assert [record.getMessage() for record in caplog.records] == [
        "a session was changed after the response to GET /; this is not saved",
    ]


def test_a_stream_of_another_application_is_a_stream() -> None:
    app = application(MemoryStore())

    @app.get("/")
    def view() -> Any:
        flask.session["a"] = 1

        def body() -> Iterator[str]:
            flask.session["a"] = 2
            yield "begun"

        return flask.abort(flask.Response(flask.stream_with_context(body())))

    client = app.test_client()
    assert client.get("/").text == "begun"
    with client.session_transaction() as session:
        assert session["a"] == 2


def test_a_value_that_can_not_be_stored_cuts_no_stream(caplog: pytest.LogCaptureFixture) -> None:
    error, data = stream(lambda session: session["a"].append(object()))
    assert (error, data) == (None, {"a": [1]})
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("what the stream of GET / changed in its session was not saved: session['a']: ")


def test_a_change_after_the_response_is_logged_with_its_route(caplog: pytest.LogCaptureFixture) -> None:
    app = application(MemoryStore())

    @app.teardown_request
    def late(_: BaseException | None) -> None:
        flask.session["a"] = 1

    @app.get("/notices/<name>")
    def notice(name: str) -> str:
        return name

    assert app.test_client().get("/notices/a-secret-name").text == "a-secret-name"
    assert [record.getMessage() for record in caplog.records] == [
        "a session was changed after the response to GET /notices/<name>; this is not saved",
    ]
