"""The cookie as it leaves a real HTTP server: names, attributes, secrets, and when it is sent at all."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import flask
import pytest
from flask import Blueprint, Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from nodes.sessions import (
    CookieAttributes,
    MemoryStore,
    Priority,
    Resave,
    SameSite,
    Secure,
    TrustProxy,
    Unset,
    current_session,
    session_exempt,
)
from tests.support.http_server import serve


def put(session: Any) -> str:
    session["a"] = session.get("a", 0) + 1
    return "put"


def read(session: Any) -> str:
    return str(session.get("a"))


@pytest.mark.parametrize(
    ("options", "sent"),
    [({}, [True, False, False]), ({"max_age": 60}, [True, False, True]), ({"rolling": True}, [True, True, True])],
    ids=["until the browser closes", "with an end", "rolling"],
)
def test_a_cookie_is_sent_again_where_its_end_moves_or_it_is_rolling(options: dict[str, Any], sent: list[bool]) -> None:
    with serve(**options) as site:
        replies = [site.get(view) for view in (put, lambda session: "unused", lambda session: session.update(b=1))]
        assert [reply.set_cookie is not None for reply in replies] == sent
        assert {reply.pair for reply in replies if reply.set_cookie} == {site.cookie}


def test_other_cookies_of_a_response_are_kept() -> None:
    def view(session: Any) -> Any:
        session["a"] = 1
        response = flask.make_response("ok")
        response.set_cookie("other", "1")
        return response

    with serve() as site:
        assert len(site.get(view).set_cookies) == 2
        site.get(lambda session: current_session.end())
        assert site.get(view).set_cookies[0].startswith("other=1")


# ---- attributes for one request


def test_cookie_for_sets_the_attributes_of_one_request() -> None:
    def by_host(request: flask.Request) -> CookieAttributes:
        if request.host.startswith("shop."):
            return {"domain": "shop.example", "max_age": 60, "same_site": SameSite.STRICT, "priority": Priority.LOW}
        return {}

    with serve(cookie_for=by_host) as site:
        own = site.get(put, Host="shop.example:80")
        assert (own.attribute("Domain"), own.attribute("Max-Age")) == ("shop.example", "60")
        assert (own.attribute("SameSite"), own.attribute("Priority")) == ("Strict", "Low")
        assert site.get(put, Host="shop.example:80").attribute("Max-Age") == "60"
        assert site.get(read, Host="shop.example").body == b"2"
        assert site.get(read).body == b"2"  # it is one session, however its cookie travels
        other = site.get(put, Cookie="")
        assert (other.set_cookie or "").partition("; ")[2] == "HttpOnly; Path=/; SameSite=Lax"


def test_path_and_secure_of_cookie_for_decide_whether_a_session_is_created() -> None:
    def by_path(request: flask.Request) -> CookieAttributes:
        return {"path": "/shop"} if request.path.startswith("/shop") else {"secure": Secure.ON}

    with serve(cookie_for=by_path) as site:
        assert site.get(put, path="/").set_cookie is None
        assert site.get(put, path="/shop/cart").attribute("Path") == "/shop"
        assert site.store.calls == ["create"]


def test_a_domain_of_cookie_for_removes_the_prefix() -> None:
    def by_tenant(request: flask.Request) -> CookieAttributes:
        return {"domain": "a.example"} if "tenant" in request.args else {}

    with serve(cookie_for=by_tenant, proxy=TrustProxy.TRUST) as site:
        assert site.get(put, X_Forwarded_Proto="https").pair.startswith("__Host-session=")
        assert site.get(put, path="/?tenant=a", X_Forwarded_Proto="https", Cookie="").pair.startswith("session=")


# ---- secure


@pytest.mark.parametrize(
    ("same_site", "over_tls", "over_http"),
    [(SameSite.LAX, "Lax", "Lax"), (SameSite.STRICT, "Strict", "Strict"), (SameSite.AUTO, "None", "Lax")],
)
def test_same_site_auto_depends_on_tls(same_site: SameSite, over_tls: str, over_http: str) -> None:
    with serve(same_site=same_site, proxy=TrustProxy.TRUST) as site:
        tls, plain = site.get(put, X_Forwarded_Proto="https"), site.get(put, Cookie="")
        assert (tls.attribute("SameSite"), tls.attribute("Secure")) == (over_tls, "")
        assert plain.attribute("SameSite") == over_http
        assert plain.attribute("Secure") is None


def test_options_choose_the_name_and_attributes_of_the_cookie() -> None:
    own: Any = {"domain": "example.com", "path": "/shop", "partitioned": True, "priority": Priority.HIGH}
    with serve(name="sid", http_only=False, proxy=TrustProxy.TRUST, **own) as site:
        reply = site.get(put, path="/shop/cart", X_Forwarded_Proto="https")
        assert reply.pair.startswith("sid=")
        expected = "Domain=example.com; Secure; Path=/shop; SameSite=Lax; Partitioned; Priority=High"
        assert (reply.set_cookie or "").partition("; ")[2] == expected


@pytest.mark.parametrize("session_id", ["a b;c" * 5, "é" * 20, "short", "x" * 129, 'quoted"' * 5, ""])
def test_generate_id_must_return_an_id_that_a_cookie_can_carry(session_id: str) -> None:
    with serve(generate_id=lambda: session_id) as site:
        assert site.get(put).status == 500
        assert site.store.calls == []


def test_max_age_for_all_sessions_and_for_one() -> None:
    with serve(max_age=60) as site:
        assert site.get(put).attribute("Max-Age") == "60"
        assert site.get(lambda session: setattr(current_session, "max_age", 7)).attribute("Max-Age") == "7"
        assert site.get(put).attribute("Max-Age") == "7"
        assert site.get(put, Cookie="").attribute("Max-Age") == "60"


@pytest.mark.parametrize(
    ("proxy", "forwarded", "is_secure"),
    [
        (TrustProxy.FRAMEWORK, "https", True),
        (TrustProxy.FRAMEWORK, "http", False),
        (TrustProxy.FRAMEWORK, None, False),
        (TrustProxy.TRUST, "https", True),
        (TrustProxy.TRUST, "HTTPS , http", True),
        (TrustProxy.TRUST, "http, https", False),
        (TrustProxy.TRUST, "", False),
        (TrustProxy.TRUST, None, False),
        (TrustProxy.IGNORE, "https", False),
        (TrustProxy.IGNORE, None, False),
    ],
)
@pytest.mark.parametrize("secure", Secure)
def test_the_cookie_is_secure_as_the_proxy_says(
    secure: Secure, proxy: TrustProxy, forwarded: str | None, is_secure: bool
) -> None:
    def behind_a_proxy(app: flask.Flask) -> None:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_proto=1)  # type: ignore[method-assign]

    headers = {} if forwarded is None else {"X_Forwarded_Proto": forwarded}
    with serve(extend=behind_a_proxy, secure=secure, proxy=proxy) as site:
        reply = site.get(put, **headers)
        if secure is Secure.ON and not is_secure:
            assert reply.set_cookie is None
        else:
            marked = is_secure and secure is not Secure.OFF
            assert (reply.attribute("Secure") is not None) is marked
            assert reply.pair.startswith("__Host-session=" if marked else "session=")


def test_the_first_secret_signs_and_all_verify_on_two_nodes_that_rotate() -> None:
    old, new, store = "o" * 32, "n" * 32, MemoryStore()
    with (
        serve(store, secrets=(old,)) as before,
        serve(store, secrets=(old, new)) as added,
        serve(store, secrets=(new, old)) as first,
        serve(store, secrets=(new,)) as after,
    ):
        for beside in pairwise((before, added, first, after)):
            for node in beside:
                signed = node.get(put, Cookie="").pair
                assert [each.get(read, Cookie=signed).body for each in beside] == [b"1", b"1"]
        assert after.get(read, Cookie=added.get(put, Cookie="").pair).body == b"None"
        assert before.get(read, Cookie=first.get(put, Cookie="").pair).body == b"None"


def test_an_unknown_id_is_answered_with_another_one() -> None:
    with serve() as site, serve() as other:
        cookie = other.get(put).pair
        reply = site.get(put, Cookie=cookie)
        assert reply.set_cookie
        assert reply.pair != cookie
        assert site.store.calls == ["load", "create"]


def test_with_save_uninitialized_every_visitor_gets_a_session_and_a_cookie() -> None:
    with serve(save_uninitialized=True) as site:
        assert site.get(lambda session: "unused").set_cookie
        assert site.store.calls == ["create"]


@pytest.mark.parametrize(
    "options", [{"save_uninitialized": True}, {"rolling": True}, {"resave": Resave.ALWAYS}], ids=str
)
def test_static_files_and_exempt_views_touch_no_session_unless_it_is_used(options: dict[str, Any]) -> None:
    """Checked for Flask's own static files, those of a blueprint, and views."""

    def extend(app: Flask) -> None:
        app.static_folder = str(Path(__file__).parent)
        app.register_blueprint(Blueprint("part", __name__, static_folder=".", static_url_path="/part/static"))
        app.add_url_rule("/live", "live", session_exempt(lambda: "live"))
        app.add_url_rule("/count", "count", session_exempt(lambda: put(flask.session)))

    with serve(extend=extend, **options) as site:
        assert site.get(put).set_cookie
        for with_cookie in (True, False):
            if not with_cookie:
                site.cookie = None
            site.store.calls.clear()
            for path in ("/live", "/static/__init__.py", "/part/static/__init__.py"):
                reply = site.get(path=path)
                assert (reply.status, reply.set_cookie, reply.headers["Vary"]) == (200, None, None)
                assert reply.headers["Cache-Control"] in (None, "no-cache")
            assert site.store.calls == []
        assert site.get(path="/count").set_cookie
        assert site.store.calls == ["create"]


def test_unset_keeps_or_destroys_the_session() -> None:
    for unset, left in ((Unset.KEEP, b"1"), (Unset.DESTROY, b"None")):
        with serve(unset=unset) as site:
            cookie = site.get(put).pair
            site.get(lambda session: (session.update(a=2), current_session.unset()) and "ok")
            assert site.get(read, Cookie=cookie).body == left
