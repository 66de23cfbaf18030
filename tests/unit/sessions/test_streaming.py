"""A streamed response: what its generator can still do with the session after the headers have left."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import flask
import pytest

from nodes.sessions import CookieNotSendable, MemoryStore
from tests.support.browser import Browser, View, application


def stream(late: View) -> tuple[Exception | None, dict[str, Any]]:
    """Store `a` in a new session, and call `late` once the headers have left. Return its error and the data stored."""
    app = application(MemoryStore())
    errors: list[Exception | None] = []

    @app.get("/")
    def view() -> flask.Response:
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
    owner, data = Browser(app).read(header=reply.headers["Set-Cookie"].partition(";")[0])
    assert owner is None
    return errors[0], data


@pytest.mark.parametrize(
    "late",
    [
        lambda session: session.update(b=2),
        lambda session: session.pop("a"),
        lambda session: session.clear(),
        lambda session: session.setdefault("b", 2),
        lambda session: setattr(session, "max_age", 60),
    ],
    ids=["set", "delete", "clear", "setdefault", "lifetime"],
)
def test_a_change_that_would_not_be_saved_is_an_error(late: View) -> None:
    error, data = stream(late)
    assert isinstance(error, RuntimeError)
    assert "the response has begun" in str(error)
    assert data == {"a": [1]}


def test_a_login_whose_cookie_cannot_be_sent_is_an_error() -> None:
    error, data = stream(lambda session: session.renew("alice"))
    assert isinstance(error, CookieNotSendable)
    assert data == {"a": [1]}


@pytest.mark.parametrize(
    ("late", "left"),
    [
        (lambda session: session["a"], {"a": [1]}),
        (lambda session: session.mutate("a", lambda a: [*a, 2]), {"a": [1, 2]}),
        (lambda session: session["a"].append(2) or session.save(), {"a": [1, 2]}),
        (lambda session: session.touch(), {"a": [1]}),
        (lambda session: session.end(), {}),
    ],
    ids=["read", "mutate", "save", "touch", "end"],
)
def test_operations_that_reach_the_store_at_once_work(late: View, left: dict[str, Any]) -> None:
    assert stream(late) == (None, left)


def test_no_session_is_created_after_the_response() -> None:
    with Browser(application(MemoryStore())).request() as (session, _):
        pass
    with pytest.raises(RuntimeError, match="the response has begun"):
        session.mutate("n", lambda n: n + 1, 0)
