"""A response that is made while it is sent: what its generator can still do with the session, and what it is told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import flask
import pytest

from nodes.sessions import CookieNotSendable, MemoryStore
from tests.support.browser import Browser, application


class Streaming:
    """GET / begins to answer, having put `a`, and calls `late` when the headers have left."""

    def __init__(self, late: Any, **options: Any) -> None:
        self.memory = MemoryStore()
        self.app = application(self.memory, **options)
        self.error: BaseException | None = None

        @self.app.get("/")
        def answer() -> flask.Response:
            flask.session["a"] = [1]

            def body() -> Iterator[str]:
                yield "begun"
                try:
                    late(flask.session)
                except (RuntimeError, CookieNotSendable) as error:
                    self.error = error
                yield "ended"

            return flask.Response(flask.stream_with_context(body()))

        client = self.app.test_client()
        reply = client.get("/")
        assert reply.text == "begunended"
        self.cookie = reply.headers["Set-Cookie"].partition(";")[0]

    def stored(self) -> tuple[Any, dict[str, Any]]:
        answer = Browser(self.app).visit(lambda session: (session.owner, dict(session)), header=self.cookie)
        owner, data = answer.value
        return owner, data


@pytest.mark.parametrize(
    "late",
    [
        lambda session: session.update(b=2),
        lambda session: session.pop("a"),
        lambda session: session.clear(),
        lambda session: session.setdefault("b", 2),
        lambda session: setattr(session, "max_age", 60),
    ],
    ids=["set", "delete", "clear", "setdefault", "a life of its own"],
)
def test_a_write_that_nobody_would_save_is_an_error(late: Any) -> None:
    site = Streaming(late)
    assert isinstance(site.error, RuntimeError)
    assert "the response has begun" in str(site.error)
    assert site.stored() == (None, {"a": [1]})


def test_a_login_whose_cookie_nobody_would_get_is_an_error() -> None:
    site = Streaming(lambda session: session.renew("alice"))
    assert isinstance(site.error, CookieNotSendable)
    assert site.stored() == (None, {"a": [1]})
    assert site.memory.count() == 1


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
def test_what_is_done_at_the_store_at_once_works(late: Any, left: dict[str, Any]) -> None:
    site = Streaming(late)
    assert site.error is None
    assert site.stored() == (None, left)


def test_a_visitor_without_a_session_gets_none_late() -> None:
    app = application(MemoryStore())
    with Browser(app).request() as (session, _):
        pass
    with pytest.raises(RuntimeError, match="the response has begun"):
        session.mutate("n", lambda n: n + 1, 0)
