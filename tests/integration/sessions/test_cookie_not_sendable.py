"""Responses whose cookie no browser would keep or send back: no session is created, and no id is sent."""

from __future__ import annotations

from typing import Any

import pytest

from nodes.sessions import MemoryStore, SameSite, Secure, TrustProxy, current_session
from tests.support.http_server import serve

TLS = {"X_Forwarded_Proto": "https"}
FOR_TLS_ONLY = [
    {"secure": Secure.ON},
    {"same_site": SameSite.NONE},
    {"partitioned": True},
    {"secure": Secure.ON, "rolling": True},
    {"secure": Secure.ON, "save_uninitialized": True},
]


def put(session: Any) -> str:
    session["a"] = 1
    return "put"


def login(session: Any) -> str:
    current_session.renew("alice")
    return "logged in"


MAKES = [
    pytest.param(put, 200, id="put"),
    pytest.param(lambda session: str(current_session.mutate("a", lambda a: a + 1, 0)), 200, id="mutate"),
    pytest.param(lambda session: (put(session), current_session.save())[0], 400, id="save"),
    pytest.param(login, 400, id="login"),
    pytest.param(lambda session: current_session.renew("alice", keep=False), 400, id="login without the data"),
    pytest.param(lambda session: setattr(current_session, "max_age", 60), 200, id="its own lifetime"),
]


@pytest.mark.parametrize("options", FOR_TLS_ONLY, ids=str)
@pytest.mark.parametrize(("view", "status"), MAKES)
def test_a_cookie_for_tls_only_makes_no_session_over_plain_http(
    options: dict[str, Any], view: Any, status: int
) -> None:
    with serve(proxy=TrustProxy.TRUST, **options) as site:
        reply = site.get(view)
        assert (reply.status, reply.set_cookie, site.store.calls) == (status, None, [])
        reply = site.get(view, **TLS)
        assert (reply.status, reply.attribute("Secure")) == (200, "")


@pytest.mark.parametrize(("view", "status"), MAKES)
def test_outside_the_cookies_path_no_session_is_created(view: Any, status: int) -> None:
    with serve(path="/shop") as site:
        for path in ("/", "/shopping", "/Shop"):
            reply = site.get(view, path=path)
            assert (reply.status, reply.set_cookie, site.store.calls) == (status, None, [])
        for path in ("/shop", "/shop/", "/shop/cart"):
            assert site.get(view, path=path, Cookie="").set_cookie


def test_a_refused_login_says_why(caplog: pytest.LogCaptureFixture) -> None:
    with serve(secure=Secure.ON) as site:
        reply = site.get(login)
        assert b"the request came over plain HTTP" in reply.body
        assert site.get(put).status == 200
    assert [record.message for record in caplog.records if record.name == "nodes.sessions"] == [
        "no session can be created: its cookie is for TLS only, and the request came over plain HTTP"
    ]


@pytest.mark.parametrize("options", [{}, {"rolling": True}, {"max_age": 60}, {"save_uninitialized": True}], ids=str)
def test_an_id_never_leaves_over_plain_http(options: dict[str, Any]) -> None:
    memory = MemoryStore()
    with serve(memory, proxy=TrustProxy.TRUST, secure=Secure.ON, **options) as site:
        site.get(lambda session: (put(session), current_session.renew("alice"))[0], **TLS)
        cookie = site.cookie
        for view, status in (
            (lambda session: str(current_session.owner), 200),
            (lambda session: session.update(a=2), 200),
            (lambda session: current_session.mutate("a", lambda a: a + 1) and "ok", 200),
            (lambda session: setattr(current_session, "max_age", 50), 200),
            (lambda session: current_session.renew(), 400),
            (lambda session: current_session.renew("bob"), 400),
        ):
            reply = site.get(view)
            assert (reply.status, reply.set_cookies) == (status, [])
        reply = site.get(lambda session: f"{current_session.owner} {session['a']}", **TLS)
        assert (reply.body, site.cookie, memory.count()) == (b"alice 3", cookie, 1)
        reply = site.get(lambda session: current_session.end())
        assert (reply.status, reply.set_cookies, memory.count()) == (200, [], 0)


def test_an_unused_session_that_cannot_be_created_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    with serve(secure=Secure.ON, save_uninitialized=True) as site:
        assert site.get(lambda session: "a health check").set_cookie is None
    assert [record for record in caplog.records if record.name == "nodes.sessions"] == []
