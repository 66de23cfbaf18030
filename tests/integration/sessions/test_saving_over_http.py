"""What users of express-session rely on about saving, over real HTTP: who has nothing to save, what is saved once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from nodes.sessions import Resave
from tests.support.harness import MemoryHarness
from tests.support.http_server import serve


def put(session: Any) -> str:
    session["a"] = 1
    return "put"


@pytest.mark.parametrize("options", [{}, {"rolling": True}, {"resave": Resave.ALWAYS}, {"max_age": 60}], ids=str)
@pytest.mark.parametrize(
    "view",
    [
        lambda session: "unused",
        lambda session: str(session.get("a")),
        lambda session: session.save(),
        lambda session: session.touch(),
        lambda session: session.renew(),
        lambda session: session.renew(keep=False),
        lambda session: (put(session), session.renew(keep=False))[1],
        lambda session: (put(session), session.clear())[1],
        lambda session: session.end(),
    ],
    ids=["unused", "read", "save", "touch", "renew", "regenerate", "put and regenerate", "put and clear", "end"],
)
def test_an_empty_session_is_not_stored_and_sends_no_cookie(options: dict[str, Any], view: Any) -> None:
    with serve(**options) as site:
        reply = site.get(view)
        assert (reply.status, reply.set_cookies, site.store.calls) == (200, [], [])


@pytest.mark.parametrize("view", [lambda session: session.renew(), lambda session: session.renew(keep=False)])
def test_renewing_an_ended_session_sends_no_cookie(view: Any) -> None:
    with serve() as site:
        cookie = site.get(put).pair
        site.get(lambda session: session.end())
        site.store.calls.clear()
        reply = site.get(view, Cookie=cookie)
        assert (reply.status, reply.set_cookies, site.store.calls) == (200, [], ["load"])
        site.get(put, Cookie=cookie)
        assert site.cookie != cookie


def test_what_a_stranger_renews_is_kept_or_left_behind() -> None:
    with serve() as site:
        site.get(lambda session: (put(session), session.renew())[1])
        assert site.get(lambda session: dict(session)).body == b'{"a":1}\n'
        site.get(lambda session: (put(session), session.renew(keep=False), session.update(b=2))[1], Cookie="")
        assert site.get(lambda session: dict(session)).body == b'{"b":2}\n'
        assert site.store.calls.count("create") == 2


def test_a_regenerated_stranger_is_saved_where_everyone_is() -> None:
    with serve(save_uninitialized=True) as site:
        assert site.get(lambda session: session.renew(keep=False)).set_cookie
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
        session.save()
        session.save()
        return "saved"

    with serve(resave=resave) as site:
        assert site.get(view).set_cookie
        assert site.store.calls == ["create"]
        assert site.get(lambda session: str(session["a"])).body == b"1"


def test_the_stored_expiry_is_the_date_in_the_cookie() -> None:
    harness = MemoryHarness()
    end = datetime.fromtimestamp(harness.memory.ping(), UTC) + timedelta(seconds=100)

    def view(session: Any) -> None:
        session["n"] = session.get("n", 0) + 1
        session.expires = end

    with serve(harness.memory) as site:
        for _ in range(2):  # when it is made, and when it is written again
            reply = site.get(view)
            assert parsedate_to_datetime(reply.attribute("Expires") or "") == end
            (entry,) = harness.memory._entries.values()
            assert entry.expires == end.timestamp()
            harness.advance(30)
