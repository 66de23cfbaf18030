"""A real Express application and a Flask node behind one nginx, on one Redis: whose turn it is, no browser can tell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy import Server
from tests.support.express import EXPRESS, FLASK, Both, RunningExpress
from tests.support.node import PASSWORD, SECRET, RunningNode
from tests.support.node_app import users_file
from tests.support.proxy import RunningProxy
from tests.support.valkey import Valkey

pytestmark = pytest.mark.node
__all__ = ["users_file"]

NEW = "another secret of more than 32 bytes"


class OnRedis(Both):
    """One browser at both applications, at `url` behind one proxy, on an empty Redis."""

    def __init__(self, express: RunningExpress, flask: RunningNode, url: str, server: Valkey) -> None:
        super().__init__(express, flask)
        self.url = url
        self.redis: Any = server.client()
        self.redis.flushdb()

    @property
    def key(self) -> str:
        return f"sess:{self.id}"

    @property
    def stored(self) -> dict[str, Any]:
        return dict(json.loads(self.redis.get(self.key)))


Applications = tuple[RunningExpress, RunningNode, str]


@pytest.fixture(scope="module")
def applications(users_file: Path, server: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Applications]:
    folder = tmp_path_factory.mktemp("both")
    settings = {"NODE_NAME": FLASK, "SESSION_STORE": "express", "REDIS_URL": server.url}
    with (
        RunningExpress(folder, REDIS_URL=server.url) as express,
        RunningNode(users_file, folder / "node.log", **settings) as flask,
        RunningProxy(
            folder,
            (Server(f"127.0.0.1:{express.port}", EXPRESS), Server(f"127.0.0.1:{flask.port}", FLASK)),
            {"login_rate": None},
        ) as proxy,
    ):
        yield express, flask, f"http://127.0.0.1:{proxy.port}"


@pytest.fixture
def both(applications: Applications, server: Valkey) -> OnRedis:
    return OnRedis(*applications, server)


SIDES = pytest.mark.parametrize(("one", "other"), [(EXPRESS, FLASK), (FLASK, EXPRESS)])


@SIDES
def test_a_login_at_one_application_holds_at_the_other(both: OnRedis, one: str, other: str) -> None:
    both.post(one, "/visits")
    anonymous = both.cookie
    both.log_in(one)
    assert both.cookie != anonymous
    assert both.get(other) == {"user": "alice", "node": other, "visits": 1, "cart": {}}
    both.post(other, "/visits")
    both.post(other, "/cart", item="apple", quantity=2)
    both.post(one, "/cart", item="pear", quantity=1)
    assert both.get(one) == {"user": "alice", "node": one, "visits": 2, "cart": {"apple": 2, "pear": 1}}
    assert both.get(other)["cart"] == {"apple": 2, "pear": 1}


@SIDES
def test_a_logout_on_one_is_final_on_the_other(both: OnRedis, one: str, other: str) -> None:
    both.log_in(one)
    replayed = both.cookie
    both.post(other, "/logout")
    assert both.redis.keys("sess:*") == []
    for where in (one, other):
        assert both.replayed(where, replayed) is None


@SIDES
def test_a_login_gives_the_id_of_the_other_a_new_one(both: OnRedis, one: str, other: str) -> None:
    both.log_in(one)
    first = both.cookie
    both.post(one, "/visits")
    both.log_in(other)
    assert both.cookie != first
    assert both.get(one)["visits"] == 1
    assert len(both.redis.keys("sess:*")) == 1


def test_in_turns_behind_the_proxy_nobody_notices(both: OnRedis) -> None:
    served = []
    both.browser.post(f"{both.url}/login", json={"user": "alice", "password": PASSWORD}, timeout=10)
    for number in range(1, 13):
        answer = both.browser.post(f"{both.url}/visits", json={}, timeout=10)
        served.append(answer.headers["X-Served-By"])
        assert answer.json() == {"visits": number}
        me = both.browser.get(f"{both.url}/me", timeout=10)
        served.append(me.headers["X-Served-By"])
        assert me.json()["user"] == "alice"
    assert set(served) == {EXPRESS, FLASK}


def test_fields_unknown_to_one_side_stay_byte_for_byte(both: OnRedis) -> None:
    both.log_in(EXPRESS)
    session = both.stored | {"theirs": {"deep": [1, 1e21, "\u2028", None]}, "n": 1.5}
    text = json.dumps(session, separators=(",", ":")).replace("1e+21", "1e21")
    both.redis.set(both.key, text, ex=1000)
    both.post(FLASK, "/visits")
    after = both.redis.get(both.key).decode()
    assert '"theirs":' + text.partition('"theirs":')[2].partition(',"n"')[0] in after
    assert both.stored["cookie"] == session["cookie"]
    assert both.get(EXPRESS)["visits"] == 1


def test_a_touch_renews_the_time_to_live_and_writes_nothing(both: OnRedis) -> None:
    both.log_in(EXPRESS)
    both.redis.expire(both.key, 100)
    before = both.redis.get(both.key)
    both.get(FLASK)
    assert both.redis.get(both.key) == before
    assert 1790 < both.redis.ttl(both.key) <= 1800
    both.redis.expire(both.key, 100)
    both.get(EXPRESS)
    assert 1790 < both.redis.ttl(both.key) <= 1800


def test_both_write_the_same_record(both: OnRedis) -> None:
    found = []
    for where in (EXPRESS, FLASK):
        both.log_in(where)
        session = both.stored
        assert (session["user"], session["cookie"]["originalMaxAge"]) == ("alice", None)
        found.append({name: value for name, value in session.items() if not name.startswith("_")})
    assert found[0] == found[1]


@SIDES
def test_an_expired_session_is_gone_for_both(both: OnRedis, one: str, other: str) -> None:
    both.log_in(one)
    cookie, key = both.cookie, both.key
    assert both.replayed(other, cookie) == "alice"
    both.redis.pexpire(key, 0)
    assert [both.replayed(where, cookie) for where in (one, other)] == [None, None]


def test_a_max_age_that_express_gave_a_session_decides_here_too(both: OnRedis) -> None:
    both.log_in(EXPRESS)
    session = both.stored
    session["cookie"]["originalMaxAge"] = 600_000
    both.redis.set(both.key, json.dumps(session), ex=600)
    answer = both.post(FLASK, "/visits")
    assert "Max-Age=600" in answer.headers["Set-Cookie"]
    assert 590 < both.redis.ttl(both.key) <= 600
    assert both.stored["cookie"]["expires"].endswith("Z")
    answer = both.post(EXPRESS, "/visits")
    assert "Expires=" in answer.headers["Set-Cookie"]
    assert both.get(FLASK)["visits"] == 2


def test_a_record_that_express_cannot_read_is_quarantined(both: OnRedis) -> None:
    both.log_in(EXPRESS)
    both.redis.set(both.key, "{broken", ex=1000)
    assert both.browser.get(f"{both.urls[EXPRESS]}/me", timeout=10).status_code >= 500
    assert both.get(FLASK)["user"] is None
    assert both.get(EXPRESS)["user"] is None
    assert both.redis.get(f"damaged:{both.key}") == b"{broken"


def test_no_login_of_expresss_counts_as_fresh_before_this_side_saw_it(both: OnRedis) -> None:
    both.log_in(EXPRESS)
    account = both.browser.get(f"{both.urls[FLASK]}/account", timeout=10).json()
    both.log_in(FLASK)
    fresh = both.browser.get(f"{both.urls[FLASK]}/account", timeout=10).json()
    assert account["user"] == fresh["user"] == "alice"
    assert account["since"] < fresh["since"]


def test_secrets_rotate_across_both(
    applications: Applications, users_file: Path, server: Valkey, tmp_path: Path
) -> None:
    old, redis = applications[1], {"REDIS_URL": server.url}
    browser = old.log_in()
    rotated = {"NODE_NAME": "node-2", "SESSION_STORE": "express", "SESSION_SECRETS": NEW}
    with (
        RunningExpress(tmp_path, **redis, SESSION_SECRETS=f"{NEW},{SECRET}") as express,
        RunningNode(users_file, tmp_path / "node.log", **redis, **rotated) as new,
    ):
        assert browser.get(f"{express.url}/me", timeout=10).json()["user"] == "alice"
        browser.post(f"{express.url}/login", json={"user": "alice", "password": PASSWORD}, timeout=10)
        assert browser.get(f"{old.url}/me", timeout=10).json()["user"] is None
        assert browser.get(f"{new.url}/me", timeout=10).json()["user"] == "alice"
