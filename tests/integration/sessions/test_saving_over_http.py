"""When a session is saved, and with which operations of the store, over real HTTP."""

from __future__ import annotations

from functools import partial
from typing import Any

import flask
import pytest

from nodes.sessions import MemoryStore, Resave, current_session
from tests.support.harnesses.memory import MemoryHarness
from tests.support.http_server import serve


def put(session: Any) -> str:
    session["a"] = 1
    return "put"


def put_reload_and_save(session: Any) -> None:
    put(session)
    current_session.reload()
    current_session.save()


def reload_put_and_save(session: Any) -> None:
    current_session.reload()
    session["a"] = 2
    current_session.save()


def read(session: Any) -> str:
    return str(session.get("a"))


@pytest.mark.parametrize("options", [{}, {"rolling": True}, {"resave": Resave.ALWAYS}, {"max_age": 60}], ids=str)
@pytest.mark.parametrize(
    "view",
    [
        lambda session: "unused",
        lambda session: str(session.get("a")),
        lambda session: current_session.save(),
        lambda session: current_session.touch(),
        lambda session: current_session.renew(),
        lambda session: current_session.renew(keep=False),
        lambda session: (put(session), current_session.renew(keep=False))[1],
        lambda session: (put(session), session.clear())[1],
        lambda session: current_session.end(),
    ],
    ids=["unused", "read", "save", "touch", "renew", "regenerate", "put and regenerate", "put and clear", "end"],
)
def test_an_empty_session_is_not_stored_and_sends_no_cookie(options: dict[str, Any], view: Any) -> None:
    with serve(**options) as site:
        reply = site.get(view)
        assert (reply.status, reply.set_cookies, site.store.calls) == (200, [], [])


@pytest.mark.parametrize(
    ("options", "view"),
    [
        ({}, lambda session: current_session.renew()),
        ({}, lambda session: current_session.renew(keep=False)),
        ({"rolling": True}, lambda session: "unused"),
    ],
    ids=["renew", "regenerate", "rolling"],
)
def test_a_request_of_an_ended_session_sends_no_cookie(options: dict[str, Any], view: Any) -> None:
    with serve(**options) as site:
        cookie = site.get(put).pair
        site.get(lambda session: current_session.end())
        site.store.calls.clear()
        reply = site.get(view, Cookie=cookie)
        assert (reply.status, reply.set_cookies, site.store.calls) == (200, [], ["load"])
        site.get(put, Cookie=cookie)
        assert site.cookie != cookie


def test_a_renewal_before_the_first_save_keeps_the_data_or_drops_it() -> None:
    with serve() as site:
        site.get(lambda session: (put(session), current_session.renew())[1])
        assert site.get(lambda session: dict(session)).body == b'{"a":1}\n'
        site.get(lambda session: (put(session), current_session.renew(keep=False), session.update(b=2))[1], Cookie="")
        assert site.get(lambda session: dict(session)).body == b'{"b":2}\n'
        assert site.store.calls.count("create") == 2


def test_a_regenerated_session_is_saved_under_save_uninitialized() -> None:
    with serve(save_uninitialized=True) as site:
        assert site.get(lambda session: current_session.renew(keep=False)).set_cookie
        assert site.store.calls == ["create"]


@pytest.mark.parametrize("view", [lambda session: "unused", lambda session: str(session["a"])], ids=["unused", "read"])
@pytest.mark.parametrize(("resave", "calls"), [(Resave.NEVER, []), (Resave.ALWAYS, ["update"])])
def test_resave_writes_back_what_was_not_changed(view: Any, resave: Resave, calls: list[str]) -> None:
    with serve(resave=resave) as site:
        site.get(put)
        site.store.calls.clear()
        reply = site.get(view)
        assert reply.set_cookie is None
        assert [call for call in site.store.calls if call != "load"] == calls
        assert site.get(lambda session: str(session["a"])).body == b"1"


@pytest.mark.parametrize("resave", Resave)
def test_a_new_session_that_is_saved_explicitly_is_written_once(resave: Resave) -> None:
    def view(session: Any) -> str:
        session["a"] = 1
        current_session.save()
        current_session.save()
        return "saved"

    with serve(resave=resave) as site:
        assert site.get(view).set_cookie
        assert site.store.calls == ["create"]
        assert site.get(lambda session: str(session["a"])).body == b"1"


@pytest.mark.parametrize(
    "answer",
    [
        lambda: "a body",
        lambda: ("", 204),
        lambda: flask.Response(iter(["one", "two", "three"])),
        lambda: flask.Response(iter(["123", "456"]), headers={"Content-Length": "6"}),
        lambda: flask.redirect("/next"),
    ],
    ids=["whole", "empty", "several writes", "fixed length", "redirect"],
)
def test_a_session_is_stored_before_the_first_byte_of_any_answer(answer: Any) -> None:
    def view(session: Any) -> Any:
        session["a"] = 1
        return answer()

    stored: list[int] = []

    def watch(app: flask.Flask) -> None:
        inner = app.wsgi_app

        def begin(start_response: Any, *headers: Any) -> Any:
            stored.append(store.count())
            return start_response(*headers)

        def outer(environ: Any, start_response: Any) -> Any:
            return inner(environ, partial(begin, start_response))

        app.wsgi_app = outer  # type: ignore[method-assign]

    store = MemoryStore()
    with serve(store, watch) as site:
        assert site.get(view).set_cookie
        assert stored == [1]
        assert site.get(read).body == b"1"


@pytest.mark.parametrize(
    ("view", "calls"),
    [
        pytest.param(lambda session: "unused", [], id="unused"),
        pytest.param(read, ["load"], id="read"),
        pytest.param(lambda session: session.update(a=session["a"]), ["load"], id="set to the same value"),
        pytest.param(put, ["update"], id="set"),
        pytest.param(lambda session: put(session) and read(session), ["update"], id="set and read"),
        pytest.param(lambda session: session["cart"]["apple"].append(2), ["load", "update"], id="nested"),
        pytest.param(lambda session: str(session.pop("a")), ["load", "update"], id="deleted"),
        pytest.param(lambda session: put(session) and current_session.save(), ["update"], id="saved once"),
        pytest.param(put_reload_and_save, ["load"], id="reload drops changes"),
        pytest.param(reload_put_and_save, ["load", "update"], id="reload, then save"),
        pytest.param(lambda session: (current_session.save(), current_session.save())[1], [], id="save of nothing"),
        pytest.param(lambda session: current_session.touch(), ["touch"], id="touch"),
    ],
)
def test_a_request_sends_the_store_only_what_it_needs(view: Any, calls: list[str]) -> None:
    with serve() as site:
        site.get(lambda session: session.update(a=0, cart={"apple": [1]}))
        site.store.calls.clear()
        site.get(view)
        assert site.store.calls == calls


@pytest.mark.parametrize("resave", Resave)
def test_a_change_that_was_saved_is_not_sent_again_at_the_end(resave: Resave) -> None:
    harness = MemoryHarness()
    with serve(harness.memory, idle_timeout=100, resave=resave) as site:
        site.get(put)
        for view, calls in (
            (lambda session: session["a"] and current_session.touch(), ["load", "touch"]),
            (
                lambda session: session["a"] and (session.update(a=session["a"] + 1), current_session.save())[1],
                ["load", "update"],
            ),
        ):
            harness.advance(50)
            site.store.calls.clear()
            site.get(view)
            assert site.store.calls == calls
