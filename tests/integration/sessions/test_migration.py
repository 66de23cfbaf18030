"""Sessions of Flask and of Flask-Session, written by these libraries themselves, are taken over at their first use."""

from __future__ import annotations

import base64
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis
from flask import Flask, flash, get_flashed_messages, session
from flask.sessions import SecureCookieSessionInterface
from flask.testing import FlaskClient
from flask_session import Session as FlaskSession  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine

from nodes.sessions import (
    ExpressStore,
    FlaskCookie,
    FlaskSessionRedis,
    FlaskSessionSql,
    MemoryStore,
    OldSessions,
    OptionsError,
    RedisStore,
    Sessions,
    Store,
    StoreUnavailable,
)
from nodes.sessions.old_sessions import _decode
from nodes.sessions.store import StoreWrapper
from tests.support.lacks import import_package
from tests.support.valkey import Valkey

SECRET = "keyboard cat, keyboard cat, keyboard cat"
LAYERS = ["cookie", "redis", "redis signed", "redis json", "sql"]


def find_owner(data: Any) -> str | None:
    user: str | None = data.get("_user_id")
    return user


def make_app(configuration: dict[str, Any]) -> Flask:
    """Return the application that has been there before, and stays."""
    app = Flask("shop")
    app.config.update(SECRET_KEY=SECRET, **configuration)

    @app.post("/login/<name>")
    def login(name: str) -> str:
        session["_user_id"] = name
        session["cart"] = ["tea", {"n": 2}]
        session.permanent = True
        flash("welcome")
        return "in"

    @app.get("/me")
    def me() -> dict[str, Any]:
        return {"user": session.get("_user_id"), "cart": session.get("cart"), "permanent": session.permanent}

    @app.get("/flashes")
    def flashes() -> list[Any]:
        return get_flashed_messages(with_categories=True)

    @app.post("/logout")
    def logout() -> str:
        session.clear()
        return "out"

    @app.get("/static-page")
    def page() -> str:
        return "page"

    return app


class Old:
    """An old layer: the application on it, and the same application on ours."""

    def __init__(self, layer: str, server: Valkey, folder: Path) -> None:
        self.layer = layer
        self.configuration: dict[str, Any] = {}
        self.records: Callable[[], int] = lambda: 0
        if layer.startswith("redis"):
            self.client = redis.Redis(port=server.port, decode_responses=False)
            self.configuration = {
                "SESSION_TYPE": "redis",
                "SESSION_REDIS": self.client,
                "SESSION_USE_SIGNER": layer == "redis signed",
                "SESSION_SERIALIZATION_FORMAT": "json" if layer == "redis json" else "msgpack",
            }
            self.records = lambda: len([k for k in self.client.scan_iter("session:*") if b"{" not in k])
        if layer == "sql":
            self.url = f"sqlite:///{folder / 'shop.db'}"
            self.configuration = {"SQLALCHEMY_DATABASE_URI": self.url, "SESSION_TYPE": "sqlalchemy"}

            def count() -> int:
                with create_engine(self.url).connect() as connection:
                    return int(connection.exec_driver_sql("SELECT count(*) FROM sessions").scalar_one())

            self.records = count

    def app(self, **more: Any) -> Flask:
        app = make_app(self.configuration | more)
        if self.layer != "cookie":
            if self.layer == "sql":
                flask_sqlalchemy = import_package("flask_sqlalchemy")
                app.config["SESSION_SQLALCHEMY"] = flask_sqlalchemy.SQLAlchemy(app)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                FlaskSession(app)
        return app

    def source(self, owner: Any = find_owner) -> OldSessions:
        if self.layer == "cookie":
            return FlaskCookie(owner=owner)
        if self.layer == "sql":
            return FlaskSessionSql(create_engine(self.url), owner=owner)
        return FlaskSessionRedis(self.client, owner=owner)

    def new_app(self, store: Store, source: OldSessions | None = None, **more: Any) -> Flask:
        app = make_app(self.configuration | more)
        Sessions(app, store=store, migrate_from=[source or self.source()])
        return app


@pytest.fixture(params=LAYERS)
def old(request: pytest.FixtureRequest, server: Valkey, client: Any, tmp_path: Path) -> Old:
    return Old(request.param, server, tmp_path)


@pytest.fixture
def cookie_layer(server: Valkey, client: Any, tmp_path: Path) -> Old:
    return Old("cookie", server, tmp_path)


@pytest.fixture
def redis_layer(server: Valkey, client: Any, tmp_path: Path) -> Old:
    return Old("redis", server, tmp_path)


@pytest.fixture
def store(server: Valkey, client: Any) -> Iterator[Store]:
    with closing(RedisStore.from_client(redis.Redis(port=server.port))) as made:
        yield made


@pytest.fixture(params=["http", "https"])
def base(request: pytest.FixtureRequest) -> str:
    return f"{request.param}://localhost"


def cookies_of(browser: FlaskClient) -> dict[Any, Any]:
    return dict(browser._cookies or {})


def browser_with(app: Flask, cookies: dict[Any, Any]) -> FlaskClient:
    browser = app.test_client()
    browser._cookies = dict(cookies)
    return browser


def log_in(app: Flask, base: str = "http://localhost", name: str = "alice") -> dict[Any, Any]:
    """Log in with the old application, and return the browser's cookies."""
    browser = app.test_client()
    assert browser.post(f"/login/{name}", base_url=base).status_code == 200
    assert browser.get("/me", base_url=base).json["user"] == name  # type: ignore[index]
    return cookies_of(browser)


def user_of(browser: FlaskClient, base: str = "http://localhost") -> Any:
    response = browser.get("/me", base_url=base)
    assert response.status_code == 200, response.text
    return response.json["user"]  # type: ignore[index]


def test_a_user_stays_logged_in_until_the_logout_which_is_final(old: Old, store: Store, base: str) -> None:
    cookies = log_in(old.app(), base)
    app = old.new_app(store)
    browser = browser_with(app, cookies)
    me = {"user": "alice", "cart": ["tea", {"n": 2}], "permanent": True}
    first = browser.get("/me", base_url=base)
    assert first.json == me
    ours = "__Host-session" if base.startswith("https") else "session"
    assert [key[2] for key in cookies_of(browser)] == [ours]
    assert first.headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in {**browser.get("/static-page", base_url=base).headers}
    assert [list(each) for each in browser.get("/flashes", base_url=base).json or []] == [["message", "welcome"]]
    assert browser.get("/flashes", base_url=base).json == []
    assert browser.get("/me", base_url=base).json == me
    assert old.records() == 0
    assert browser.post("/logout", base_url=base).status_code == 200
    assert cookies_of(browser) == {}
    assert user_of(browser, base) is None
    assert user_of(browser_with(app, cookies), base) is None
    assert user_of(browser_with(old.new_app(store), cookies), base) is None


def test_a_request_that_does_not_use_the_session_takes_nothing_over(old: Old, store: Store) -> None:
    cookies = log_in(old.app())
    records = old.records()
    browser = browser_with(old.new_app(store), cookies)
    assert "Set-Cookie" not in browser.get("/static-page").headers
    assert old.records() == records
    assert cookies_of(browser) == cookies


def test_a_logout_may_be_the_first_request_to_the_new_layer(old: Old, store: Store, base: str) -> None:
    cookies = log_in(old.app(), base)
    app = old.new_app(store)
    browser = browser_with(app, cookies)
    assert browser.post("/logout", base_url=base).status_code == 200
    assert cookies_of(browser) == {}
    assert old.records() == 0
    assert user_of(browser_with(app, cookies), base) is None


def test_sessions_of_a_user_are_those_that_were_taken_over(old: Old, store: Store) -> None:
    app = old.new_app(store)
    user_of(browser_with(app, log_in(old.app())))
    users = app.extensions["sessions"].users
    assert len(users.of("alice")) == 1
    with app.test_request_context():
        store_now = store.ping()
    assert store_now - users.of("alice")[0].created > 3600  # no fresh login
    users.end_all("alice")
    assert users.of("alice") == []


def test_ending_all_sessions_of_a_user_ends_those_that_were_not_taken_over_yet(old: Old, store: Store) -> None:
    before = old.app()
    alice, bob = log_in(before), log_in(before, name="bob")
    app = old.new_app(store)
    app.extensions["sessions"].users.end_all("alice")
    assert user_of(browser_with(app, alice)) is None
    assert user_of(browser_with(app, bob)) == "bob"
    app.extensions["sessions"].end_everyone()
    assert user_of(browser_with(app, bob)) is None
    assert user_of(browser_with(app, log_in(before, name="carol"))) is None


def test_concurrent_requests_go_on_with_one_session(old: Old, store: Store) -> None:
    cookies = log_in(old.app())
    app = old.new_app(store)

    def request(_: int) -> tuple[Any, Any]:
        browser = browser_with(app, cookies)
        return user_of(browser), [each.value for each in cookies_of(browser).values()]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(request, range(16)))
    assert {user for user, _ in answers} == {"alice"}
    assert len({tuple(values) for _, values in answers}) == 1
    assert len(app.extensions["sessions"].users.of("alice")) == 1


class Failing(StoreWrapper):
    """Fails at the n-th call of an operation, before the store does it or after."""

    def __init__(self, wraps: Store) -> None:
        super().__init__(wraps)
        self.left = -1
        self.before = True

    def _count(self, call: Callable[[], Any]) -> Any:
        self.left -= 1
        if self.left == 0 and self.before:
            raise StoreUnavailable("cut")
        result = call()
        if self.left == 0:
            raise StoreUnavailable("cut")
        return result

    def load(self, key: str) -> Any:
        return self._count(lambda: self.wraps.load(key))

    def create(self, *arguments: Any, **more: Any) -> Any:
        return self._count(lambda: self.wraps.create(*arguments, **more))

    def ping(self) -> float:
        return float(self._count(self.wraps.ping))


@pytest.mark.parametrize("layer", ["cookie", "redis"])
@pytest.mark.parametrize("before", [True, False])
def test_whatever_answer_of_the_store_is_lost_the_user_stays_logged_in(
    layer: str, server: Valkey, store: Store, tmp_path: Path, before: bool
) -> None:
    old = Old(layer, server, tmp_path)
    for at in range(1, 10):
        cookies = log_in(old.app(), name=f"alice-{at}")  # equal sessions of one second have equal cookies in Flask
        failing = Failing(store)
        app = old.new_app(failing)
        failing.left, failing.before = at, before
        browser = browser_with(app, cookies)
        response = browser.get("/me")
        assert response.status_code == (503 if failing.left <= 0 else 200)
        failing.left = -1
        for _ in range(2):
            assert user_of(browser) == f"alice-{at}"
        assert old.records() == 0
        browser.post("/logout")
        assert user_of(browser_with(app, cookies)) is None
    assert at > 8


def test_an_old_store_that_does_not_answer_is_unknown_and_not_absent(redis_layer: Old, tmp_path: Path) -> None:
    cookies = log_in(redis_layer.app())
    dead = FlaskSessionRedis(redis.Redis(port=1), owner=find_owner)
    app = redis_layer.new_app(MemoryStore(), dead)
    browser = browser_with(app, cookies)
    assert browser.get("/me").status_code == 503
    assert cookies_of(browser) == cookies
    assert browser.get("/static-page").status_code == 200


def test_an_old_record_that_cannot_be_deleted_is_not_taken_over_again(
    redis_layer: Old, monkeypatch: pytest.MonkeyPatch
) -> None:
    cookies = log_in(redis_layer.app())

    def fail(*_: object) -> None:
        raise StoreUnavailable("read-only")

    monkeypatch.setattr(FlaskSessionRedis, "delete", fail)
    app = redis_layer.new_app(MemoryStore())
    browser = browser_with(app, cookies)
    assert user_of(browser) == "alice"
    assert redis_layer.records() == 1
    browser.post("/logout")
    monkeypatch.undo()
    assert user_of(browser_with(app, cookies)) is None
    assert redis_layer.records() == 0


def test_a_replay_two_minutes_after_the_takeover_is_anonymous(old: Old, monkeypatch: pytest.MonkeyPatch) -> None:
    cookies = log_in(old.app())
    store = MemoryStore()
    app = old.new_app(store)
    browser = browser_with(app, cookies)
    assert user_of(browser) == "alice"
    assert user_of(browser_with(app, cookies)) == "alice"  # a request that was in flight
    now = store.ping()
    monkeypatch.setattr(store, "ping", lambda: now + 121)
    assert user_of(browser_with(app, cookies)) is None
    assert user_of(browser) == "alice"


@pytest.mark.parametrize("change", ["forged", "cut", "large", "two", "garbage"])
def test_a_cookie_that_is_not_genuine_is_anonymous(old: Old, store: Store, change: str) -> None:
    (cookie,) = log_in(old.app()).values()
    (other,) = log_in(old.app(), name="bob").values()
    header = {
        "forged": f"session={cookie.value[:-4]}AAAA",
        "cut": f"session={cookie.value[:12]}",
        "large": f"session={'A' * 20_000}",
        "two": f"session={cookie.value}; session={other.value}",
        "garbage": "session=\xff.\x01.;;",
    }[change]
    browser = old.new_app(store).test_client(use_cookies=False)  # which would replace the header
    response = browser.get("/me", headers={"Cookie": header})
    assert response.status_code == 200
    assert response.json
    assert response.json["user"] is None
    assert "Set-Cookie" not in response.headers
    genuine = browser.get("/me", headers={"Cookie": f"session={cookie.value}"}).json
    assert genuine
    assert genuine["user"] == "alice"


NO_SESSIONS = [
    b'{" u":"no uuid"}',
    b'{" b":5}',
    b'{" d":[]}',
    b"[1]",
    b"{",
    b'{"a":' * 5000,
    b"\xff",
    b'{"_permanent":true}',
]


def test_a_signed_cookie_that_holds_no_session_is_anonymous(cookie_layer: Old, store: Store) -> None:
    signer: Any = SecureCookieSessionInterface().get_signing_serializer(cookie_layer.app())
    app = cookie_layer.new_app(store)

    def user(payload: bytes) -> Any:
        encoded = base64.urlsafe_b64encode(payload).strip(b"=").decode()
        value = signer.make_signer("cookie-session").sign(encoded).decode()
        response = app.test_client(use_cookies=False).get("/me", headers={"Cookie": f"session={value}"})
        assert response.json is not None, payload
        return response.json["user"]

    assert user(b'{"_user_id":"alice"}') == "alice"
    assert [user(payload) for payload in NO_SESSIONS] == [None] * len(NO_SESSIONS)


@given(st.binary(max_size=300))
def test_bytes_that_are_no_record_of_flask_session_are_no_session(stored: bytes) -> None:
    found = _decode(Flask("shop"), stored, 60)
    assert found is None or isinstance(found.data, dict)


def test_an_expired_cookie_of_flask_is_anonymous(cookie_layer: Old, store: Store) -> None:
    cookies = log_in(cookie_layer.app())
    app = cookie_layer.new_app(store, PERMANENT_SESSION_LIFETIME=-1)
    assert user_of(browser_with(app, cookies)) is None


def test_a_cookie_signed_with_a_fallback_key_is_taken_over(cookie_layer: Old, store: Store) -> None:
    cookies = log_in(cookie_layer.app())
    app = make_app({"SECRET_KEY_FALLBACKS": [SECRET]})
    app.config["SECRET_KEY"] = SECRET[::-1]
    Sessions(app, store=store, migrate_from=[FlaskCookie()])
    assert user_of(browser_with(app, cookies)) == "alice"


@pytest.mark.parametrize("domain", [None, "localhost.example"])
def test_the_old_cookie_is_cleared_where_it_was_set(cookie_layer: Old, store: Store, domain: str | None) -> None:
    config: dict[str, Any] = {
        "SESSION_COOKIE_NAME": "shop",
        "SESSION_COOKIE_DOMAIN": domain,
        "SESSION_COOKIE_PATH": "/",
    }
    base = "https://localhost.example"
    cookies = log_in(cookie_layer.app(**config), base)
    browser = browser_with(cookie_layer.new_app(store, **config), cookies)
    assert user_of(browser, base) == "alice"
    assert [key[2] for key in cookies_of(browser)] == ["__Host-shop" if domain is None else "shop"]
    browser.post("/logout", base_url=base)
    assert cookies_of(browser) == {}


def test_pickles_are_refused(redis_layer: Old, store: Store, caplog: pytest.LogCaptureFixture) -> None:
    (cookie,) = log_in(redis_layer.app()).values()
    redis_layer.client.set(f"session:{cookie.value}", b"\x80\x04}\x94\x8c\x08_user_id\x94\x8c\x05alice\x94s.")
    browser = browser_with(redis_layer.new_app(store), {("localhost", "/", "session"): cookie})
    assert user_of(browser) is None
    assert "nothing here unpickles" in caplog.text


def test_data_that_no_session_can_hold_is_left_where_it_is(
    redis_layer: Old, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    (cookie,) = log_in(redis_layer.app()).values()
    redis_layer.client.set(f"session:{cookie.value}", b"\x81\x01\x02")
    browser = browser_with(redis_layer.new_app(store), {("localhost", "/", "session"): cookie})
    assert user_of(browser) is None
    assert "a key must be a str, not 1" in caplog.text
    assert redis_layer.records() == 1


def test_several_layers_can_be_taken_over_at_once(cookie_layer: Old, redis_layer: Old, store: Store) -> None:
    app = make_app({})
    Sessions(app, store=store, migrate_from=[FlaskCookie(), redis_layer.source()])
    for layer in (cookie_layer, redis_layer):
        assert user_of(browser_with(app, log_in(layer.app()))) == "alice"


NO_FUNCTION: Any = "_user_id"


@pytest.mark.parametrize(
    "sources", [FlaskCookie(), [FlaskCookie], ["cookie"], [FlaskCookie(NO_FUNCTION)]], ids=range(4)
)
def test_wrong_sources_are_refused_at_the_start(sources: Any) -> None:
    with pytest.raises(TypeError, match=r"^(migrate_from|owner) must "):
        Sessions(Flask("shop"), store=MemoryStore(), migrate_from=sources)


def test_sessions_that_another_framework_shares_cannot_be_migrated(server: Valkey) -> None:
    with closing(ExpressStore.from_url(server.url)) as shared:
        with pytest.raises(OptionsError, match="another framework"):
            Sessions(Flask("shop"), store=shared, migrate_from=[FlaskCookie()])
