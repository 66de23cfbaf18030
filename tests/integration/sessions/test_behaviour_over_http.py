"""The behaviours that express-session's own users rely on, over real HTTP: life of a session, saving, errors.

Where this layer does better on purpose (an idle session is only touched when a tenth of its timeout has passed, nothing
is read that is not used), the test says what it does.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import flask
import pytest

from nodes.sessions import MemoryStore, Resave, SessionEnded, StoreUnavailable, Unset
from tests.support.harness import MemoryHarness, _OutOfReach
from tests.support.http_server import Site, serve


def put(session: Any) -> str:
    session["a"] = 1
    return "put"


def read(session: Any) -> str:
    return str(session.get("a"))


# ---- the life of a session


def test_a_new_session_gets_a_cookie_and_is_resumed_by_it() -> None:
    with serve() as site:
        assert site.get(put).set_cookie
        assert site.get(read).body == b"1"


def test_ids_are_distinct() -> None:
    with serve() as site:
        assert len({site.get(put, Cookie="").id for _ in range(20)}) == 20


def test_an_unknown_id_is_answered_with_another_one() -> None:
    with serve() as site, serve() as other:
        cookie = other.get(put).pair
        reply = site.get(put, Cookie=cookie)
        assert reply.set_cookie
        assert reply.pair != cookie
        assert site.store.calls == ["update", "create"]


def test_an_expired_session_gets_a_new_id_and_its_row_is_gone() -> None:
    harness = MemoryHarness()
    with serve(harness.memory, idle_timeout=100) as site:
        before = site.get(put).pair
        harness.advance(101)
        assert site.get(read).body == b"None"
        assert harness.memory._entries == {}
        assert site.get(put).pair != before


@pytest.mark.parametrize("change", ["signature", "unsigned", "percent", "empty", "huge"])
def test_a_cookie_that_was_not_signed_here_costs_no_read(change: str) -> None:
    with serve() as site:
        name, _, value = site.get(put).pair.partition("=")
        session_id = value.partition(".")[0]
        forged = {
            "signature": value[:-1] + ("A" if value[-1] != "A" else "B"),
            "unsigned": session_id,
            "percent": "s%3A%zz%" + value,
            "empty": "",
            "huge": "x" * 7000,
        }[change]
        site.store.calls.clear()
        reply = site.get(read, Cookie=f"{name}={forged}")
        assert (reply.status, reply.body, reply.set_cookie, site.store.calls) == (200, b"None", None, [])
        assert site.get(put, Cookie=f"{name}={forged}").id != session_id


@pytest.mark.parametrize("key", ["cookie", "id", "req", "save", "destroy", "__proto__", "_client", "@", "owner"])
def test_no_key_is_dangerous(key: str) -> None:
    with serve() as site:
        site.get(lambda session: session.update({key: {"x": 1}}))
        assert site.get(lambda session: session.get(key)).body == b'{"x":1}\n'
        assert site.get(lambda session: session.end()).status == 200


# ---- saving


def plain(session: Any) -> Any:
    return "a body"


def empty(session: Any) -> Any:
    return "", 204


def several_writes(session: Any) -> Any:
    return flask.Response(iter(["one", "two", "three"]))


def fixed_length(session: Any) -> Any:
    return flask.Response(iter(["123", "456"]), headers={"Content-Length": "6"})


def redirect(session: Any) -> Any:
    return flask.redirect("/next")


@pytest.mark.parametrize("answer", [plain, empty, several_writes, fixed_length, redirect])
def test_a_session_is_stored_before_the_first_byte_of_any_answer(answer: Any) -> None:
    def view(session: Any) -> Any:
        session["a"] = 1
        return answer(session)

    stored: list[int] = []

    def watch(app: flask.Flask) -> None:
        inner = app.wsgi_app

        def outer(environ: Any, start_response: Any) -> Any:
            def begin(status: str, headers: Any, exc_info: Any = None) -> Any:
                stored.append(len(store._entries))
                return start_response(status, headers, exc_info)

            return inner(environ, begin)

        app.wsgi_app = outer  # type: ignore[method-assign]

    store = MemoryStore()
    with serve(store, watch) as site:
        assert site.get(view).set_cookie
        assert stored == [1]
        assert site.get(read).body == b"1"


def test_the_stored_expiry_is_the_cookies() -> None:
    harness = MemoryHarness()
    with serve(harness.memory) as site:

        def view(session: Any) -> None:
            session["a"] = 1
            session.max_age = 60

        assert site.get(view).attribute("Max-Age") == "60"
        (entry,) = harness.memory._entries.values()
        assert entry.expires - harness.memory.ping() == 60


def writes_of(site: Site, view: Any) -> list[str]:
    site.get(lambda session: session.update(a=1, cart={"apple": [1]}))
    site.store.calls.clear()
    site.get(view)
    return site.store.calls


@pytest.mark.parametrize(
    ("view", "calls"),
    [
        (plain, []),
        (read, ["load"]),
        (lambda session: session["a"] and put(session), ["load"]),
        (lambda session: session.update(a=2), ["update"]),
        (lambda session: session["cart"]["apple"].append(2), ["load", "update"]),
        (lambda session: session.update(cookie={"path": "/x"}), ["update"]),
        (lambda session: session.pop("a") and "ok", ["load", "update"]),
        (lambda session: (session.update(a=2), session.save()) and "ok", ["update"]),
        (lambda session: (session.update(a=2), session.reload(), session.save()) and "ok", ["load"]),
        (lambda session: (session.reload(), session.update(a=2), session.save()) and "ok", ["load", "update"]),
        (lambda session: (session.save(), session.save()) and "ok", []),
        (lambda session: session.touch(), ["touch"]),
    ],
    ids=[
        "unused",
        "read",
        "set to what it was",
        "set",
        "nested",
        "a key named cookie",
        "deleted",
        "saved once",
        "reload drops changes",
        "reload, then save",
        "save of nothing",
        "touch",
    ],
)
def test_what_is_sent_to_the_store(view: Any, calls: list[str]) -> None:
    with serve() as site:
        assert writes_of(site, view) == calls


def test_reading_keeps_a_session_alive_in_steps_of_a_tenth() -> None:
    harness = MemoryHarness()
    with serve(harness.memory, idle_timeout=100) as site:
        site.get(put)
        site.store.calls.clear()
        harness.advance(5)
        site.get(read)
        harness.advance(15)
        site.get(read)
        assert site.store.calls == ["load", "load", "touch"]
        harness.advance(90)
        assert site.get(read).body == b"1"


@pytest.mark.parametrize("resave", Resave)
def test_what_was_sent_already_is_not_sent_again_at_the_end(resave: Resave) -> None:
    harness = MemoryHarness()
    with serve(harness.memory, idle_timeout=100, resave=resave) as site:
        site.get(put)
        for view, calls in (
            (lambda session: session["a"] and session.touch(), ["load", "touch"]),
            (
                lambda session: session["a"] and (session.update(a=session["a"] + 1), session.save())[1],
                ["load", "update"],
            ),
        ):
            harness.advance(50)
            site.store.calls.clear()
            site.get(view)
            assert site.store.calls == calls


def test_a_request_that_does_not_use_the_session_stores_nothing() -> None:
    with serve() as site:
        assert site.get(plain).set_cookie is None
        assert site.get(read).set_cookie is None
        assert site.store.calls == []


def test_with_save_uninitialized_everyone_gets_both() -> None:
    with serve(save_uninitialized=True) as site:
        assert site.get(plain).set_cookie
        assert site.store.calls == ["create"]


# ---- errors


class Failing(_OutOfReach):
    """Out of reach for one operation."""

    def __init__(self, operation: str, memory: MemoryStore) -> None:
        super().__init__()
        for name in {"load", "create", "update", "delete"} - {operation}:
            setattr(self, name, getattr(memory, name))


@pytest.mark.parametrize(
    ("operation", "view"),
    [
        ("load", read),
        ("update", put),
        ("update", lambda session: session.touch()),
        ("create", lambda session: session.renew("alice")),
        ("delete", lambda session: session.end()),
        ("delete", lambda session: session.renew("alice")),
    ],
)
def test_an_error_of_the_store_surfaces_and_touches_no_cookie(operation: str, view: Any) -> None:
    memory = MemoryStore()
    with serve(memory) as site:
        site.get(put)
        with site.store.through(Failing(operation, memory)):
            reply = site.get(view)
            assert (reply.status, reply.set_cookie) == (503, None)
            assert ("Retry-After", "1") in reply.headers
        assert site.get(read).body == b"1"


def test_a_view_may_deal_with_an_error_itself() -> None:
    memory = MemoryStore()

    def view(session: Any) -> str:
        try:
            return str(session.get("a"))
        except StoreUnavailable:
            return "later"

    with serve(memory) as site:
        site.get(put)
        with site.store.through(_OutOfReach()):
            reply = site.get(view)
        assert (reply.status, reply.body, reply.set_cookie) == (200, b"later", None)


# ---- the interface


def test_regenerate_has_a_new_id_and_the_old_one_is_dead() -> None:
    with serve() as site:
        old = site.get(put).pair
        site.get(lambda session: session.renew(keep=False))
        assert site.cookie != old
        assert site.get(read).body == b"None"
        assert site.get(read, Cookie=old).body == b"None"


def test_destroy_removes_the_row_and_the_cookie() -> None:
    memory = MemoryStore()
    with serve(memory) as site:
        old = site.get(put).pair
        reply = site.get(lambda session: session.end())
        assert memory.count() == 0
        assert reply.attribute("Max-Age") == "0"
        expires = reply.attribute("Expires")
        assert expires is not None
        assert parsedate_to_datetime(expires) == datetime.fromtimestamp(0, UTC)
        assert site.get(read, Cookie=old).body == b"None"


def test_unset_keeps_or_destroys() -> None:
    for unset, left in ((Unset.KEEP, b"1"), (Unset.DESTROY, b"None")):
        with serve(unset=unset) as site:
            cookie = site.get(put).pair
            site.get(lambda session: (session.update(a=2), session.unset()) and "ok")
            assert site.get(read, Cookie=cookie).body == left


def test_reload_of_a_missing_session_is_an_error() -> None:
    def view(session: Any) -> str:
        with pytest.raises(SessionEnded):
            session.reload()
        return "none"

    with serve() as site:
        assert site.get(view).body == b"none"
        assert site.get(lambda session: session.reload()).status == 409
