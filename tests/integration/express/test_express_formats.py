"""A real Express application and a Flask node on session-file-store's files and on express-mysql-session's table."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
from sqlalchemy import text

from nodes.sessions.stores.sql_engine import engine_from
from tests.integration.nodes.conftest import run_node, users_file
from tests.support.express import EXPRESS, FLASK, Both, RunningExpress
from tests.support.node import RunningNode
from tests.support.sql_servers import PATIENT, SqlServer

pytestmark = pytest.mark.node
__all__ = ["run_node", "users_file"]

IDLE = 1800
SIDES = pytest.mark.parametrize(("one", "other"), [(EXPRESS, FLASK), (FLASK, EXPRESS)])


class Place(Protocol):
    """Where both keep the sessions."""

    def settings(self) -> dict[str, str]: ...

    def ids(self) -> set[str]:
        """Of sessions, live or not; what the node counts logins by has 64 digits."""

    def read(self, session_id: str) -> str: ...

    def write(self, session_id: str, value: str) -> None: ...

    def left(self, session_id: str) -> float:
        """The seconds until it ends."""

    def grow_older(self, session_id: str, seconds: int) -> None: ...

    def set_aside(self) -> list[str]:
        """What was damaged."""


class Files:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def settings(self) -> dict[str, str]:
        return {"EXPRESS_STORE": "file", "SESSION_FOLDER": str(self.folder)}

    def _path(self, session_id: str) -> Path:
        return self.folder / f"{session_id}.json"

    def ids(self) -> set[str]:
        return {path.stem for path in self.folder.glob("*.json") if len(path.stem) != 64}

    def read(self, session_id: str) -> str:
        return self._path(session_id).read_text()

    def write(self, session_id: str, value: str) -> None:
        self._path(session_id).write_text(value)

    def left(self, session_id: str) -> float:
        session = json.loads(self.read(session_id))
        age = session["cookie"].get("originalMaxAge") or IDLE * 1000
        return float(session["__lastAccess"] + age) / 1000 - time.time()

    def grow_older(self, session_id: str, seconds: int) -> None:
        session = json.loads(self.read(session_id))
        session["__lastAccess"] -= seconds * 1000
        self.write(session_id, json.dumps(session))

    def set_aside(self) -> list[str]:
        return [path.read_text() for path in (self.folder / ".damaged").iterdir()]


class Rows:
    def __init__(self, server: SqlServer) -> None:
        self.url = server.database("beside_express")
        self._engine = engine_from(self.url, PATIENT)

    def settings(self) -> dict[str, str]:
        return {"EXPRESS_STORE": "mysql", "DATABASE_URL": self.url, "DATABASE_CREATE_SCHEMA": "on"}

    def _all(self, statement: str, **values: Any) -> list[Any]:
        with self._engine.connect() as connection:
            result = connection.execute(text(statement), values)
            return list(result.scalars()) if result.returns_rows else []

    def forget(self) -> None:
        self._engine.dispose()

    def ids(self) -> set[str]:
        return set(self._all("SELECT session_id FROM sessions WHERE LENGTH(session_id) < 64"))

    def read(self, session_id: str) -> str:
        return str(self._all("SELECT data FROM sessions WHERE session_id = :key", key=session_id)[0])

    def write(self, session_id: str, value: str) -> None:
        self._all("UPDATE sessions SET data = :value WHERE session_id = :key", key=session_id, value=value)

    def left(self, session_id: str) -> float:
        return float(self._all("SELECT expires FROM sessions WHERE session_id = :key", key=session_id)[0]) - time.time()

    def grow_older(self, session_id: str, seconds: int) -> None:
        self._all("UPDATE sessions SET expires = expires - :s WHERE session_id = :key", key=session_id, s=seconds)

    def set_aside(self) -> list[str]:
        return self._all("SELECT data FROM sessions WHERE session_id LIKE 'damaged:%'")


@pytest.fixture(params=["file", pytest.param("mysql", marks=pytest.mark.docker)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "file":
        yield Files(tmp_path / "sessions")
        return
    rows = Rows(request.getfixturevalue("mysql"))
    yield rows
    rows.forget()


@pytest.fixture
def both(run_node: Callable[..., RunningNode], place: Place, tmp_path: Path) -> Iterator[Both]:
    flask = run_node(NODE_NAME=FLASK, SESSION_STORE="express", STORE_READ_TIMEOUT="5", **place.settings())
    with RunningExpress(tmp_path, **place.settings()) as express:
        yield Both(express, flask)


@SIDES
def test_who_logs_in_on_one_goes_on_on_the_other(both: Both, one: str, other: str) -> None:
    both.post(one, "/visits")
    anonymous = both.cookie
    both.log_in(one)
    assert both.cookie != anonymous
    assert both.get(other) == {"user": "alice", "node": other, "visits": 1, "cart": {}}
    both.post(other, "/visits")
    both.post(other, "/cart", item="äpple", quantity=2)
    both.post(one, "/cart", item="pear", quantity=1)
    assert both.get(one) == {"user": "alice", "node": one, "visits": 2, "cart": {"äpple": 2, "pear": 1}}
    assert both.get(other)["cart"] == {"äpple": 2, "pear": 1}


@SIDES
def test_a_logout_on_one_is_final_on_the_other(both: Both, place: Place, one: str, other: str) -> None:
    both.log_in(one)
    replayed = both.cookie
    both.post(other, "/logout")
    assert place.ids() == set()
    assert [both.replayed(where, replayed) for where in (one, other)] == [None, None]


@SIDES
def test_a_login_gives_the_id_of_the_other_a_new_one(both: Both, place: Place, one: str, other: str) -> None:
    both.log_in(one)
    both.post(one, "/visits")
    first = both.id
    both.log_in(other)
    assert both.get(one)["visits"] == 1
    assert place.ids() == {both.id} != {first}


def test_both_write_the_same_record(both: Both, place: Place) -> None:
    found = []
    for where in (EXPRESS, FLASK):
        both.log_in(where)
        session = json.loads(place.read(both.id))
        assert (session["user"], session["cookie"]["originalMaxAge"]) == ("alice", None)
        assert IDLE - 10 < place.left(both.id) <= IDLE + 0.5  # express-mysql-session rounds
        found.append({name: value for name, value in session.items() if not name.startswith("_")})
    assert found[0] == found[1]


@SIDES
def test_a_touch_renews_it_and_changes_nothing_else(both: Both, place: Place, one: str, other: str) -> None:
    both.log_in(one)
    both.post(one, "/visits")
    both.get(other)  # the node adds its beginning to a session of Express's when it first writes it
    for where in (one, other):
        place.grow_older(both.id, 1700)
        before = json.loads(place.read(both.id))
        both.get(where)
        assert IDLE - 10 < place.left(both.id) <= IDLE + 0.5
        after = json.loads(place.read(both.id))
        for session in (before, after):
            session.pop("__lastAccess", None)
            session.pop("_created", None)
        assert after == before


@SIDES
def test_what_expired_is_gone_for_both(both: Both, place: Place, one: str, other: str) -> None:
    both.log_in(one)
    cookie, session_id = both.cookie, both.id
    place.grow_older(session_id, IDLE - 60)
    assert both.replayed(other, cookie) == "alice"
    place.grow_older(session_id, IDLE + 60)
    assert [both.replayed(where, cookie) for where in (one, other)] == [None, None]


def test_what_the_node_does_not_know_stays_byte_for_byte(both: Both, place: Place) -> None:
    both.log_in(EXPRESS)
    kept = '"theirs":{"deep":[1,1e21,"\\u2028",null]},"n":1.5'
    value = place.read(both.id)
    place.write(both.id, f"{value[:-1]},{kept}}}")
    cookie = json.loads(value)["cookie"]
    both.post(FLASK, "/visits")
    assert kept in place.read(both.id)
    assert json.loads(place.read(both.id))["cookie"] == cookie
    assert both.get(EXPRESS)["visits"] == 1


def test_a_max_age_that_express_gave_a_session_decides_here_too(both: Both, place: Place) -> None:
    both.log_in(EXPRESS)
    session = json.loads(place.read(both.id))
    session["cookie"]["originalMaxAge"] = 600_000
    place.write(both.id, json.dumps(session))
    answer = both.post(FLASK, "/visits")
    assert "Max-Age=600" in answer.headers["Set-Cookie"]
    assert 590 < place.left(both.id) <= 600
    assert json.loads(place.read(both.id))["cookie"]["expires"].endswith("Z")
    answer = both.post(EXPRESS, "/visits")
    assert "Expires=" in answer.headers["Set-Cookie"]
    assert 590 < place.left(both.id) <= 600.5
    assert both.get(FLASK)["visits"] == 2


def test_what_no_side_can_read_is_taken_out_of_the_way(both: Both, place: Place) -> None:
    both.log_in(EXPRESS)
    place.write(both.id, "{broken")
    assert both.get(FLASK)["user"] is None
    assert both.get(EXPRESS)["user"] is None
    assert place.set_aside() == ["{broken"]


def test_express_alone_fails_on_it(both: Both, place: Place) -> None:
    both.log_in(EXPRESS)
    place.write(both.id, "{broken")
    codes = [both.browser.get(f"{both.urls[EXPRESS]}/me", timeout=10).status_code for _ in range(2)]
    assert codes == ([503, 200] if isinstance(place, Files) else [503, 503])
