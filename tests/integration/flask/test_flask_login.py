"""Flask-Login with `flask_login=True`: who is the owner, which id the session has, and what a browser is left with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flask
import flask_login
import pytest
from flask import Flask
from flask.testing import FlaskClient

from nodes.sessions import (
    MemoryStore,
    OptionsError,
    SessionLimit,
    SessionOptions,
    Sessions,
    StoreUnavailable,
    TooManySessions,
    current_session,
    fresh_login,
)
from nodes.sessions.store import MARK_SECONDS
from tests.support.harnesses.memory import MemoryHarness


class User(flask_login.UserMixin):  # type: ignore[misc]
    def __init__(self, name: str) -> None:
        self.id = name


class Site:
    """An application with Flask-Login, whose routes call `view`, and its store."""

    def __init__(self, **options: Any) -> None:
        self.harness = MemoryHarness()
        self.view: Callable[[], Any] = lambda: "ok"
        self.app = app = Flask("tests")
        app.config.update(SECRET_KEY="k" * 32)
        app.testing = False
        self.sessions = Sessions(app, store=self.harness.store, options=SessionOptions(flask_login=True, **options))
        self.manager = flask_login.LoginManager(app)
        self.users = {name: User(name) for name in ("alice", "bob")}
        self.manager.user_loader(lambda name: self.users.get(name))
        app.add_url_rule("/", view_func=lambda: self.view() or "ok")
        app.add_url_rule("/idle", "idle", view_func=lambda: "idle")

    def client(self) -> Client:
        client = Client(self.app)
        client.site = self
        return client

    def of(self, user: str) -> int:
        assert self.sessions.users is not None
        return len(self.sessions.users.of(user))


class Client(FlaskClient):
    """A browser."""

    site: Site

    def visit(self, view: Callable[[], Any], status: int = 200, **arguments: Any) -> str:
        self.site.view = view
        answer = self.get("/", **arguments)
        assert answer.status_code == status, answer.text
        return answer.text

    def log_in(self, user: str = "alice", status: int = 200, **arguments: Any) -> None:
        self.visit(lambda: str(flask_login.login_user(self.site.users[user], **arguments)), status)

    def log_out(self) -> None:
        self.visit(lambda: str(flask_login.logout_user()))

    def id(self) -> str | None:
        cookie = self.get_cookie("session")
        return cookie.value if cookie else None

    def remember(self) -> str | None:
        cookie = self.get_cookie("remember_token")
        return cookie.value if cookie else None

    def forget_session(self) -> None:
        """End the session, as its timeout does; the remember cookie stays."""
        self.delete_cookie("session")

    def user(self) -> str:
        """Return the user as Flask-Login and the session know them: equal, and fresh or not."""

        def view() -> str:
            name = flask_login.current_user.get_id() if flask_login.current_user.is_authenticated else None
            assert current_session.owner == name
            return f"{name} {'fresh' if flask_login.login_fresh() else 'stale'}" if name else "nobody"

        return self.visit(view)


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def client(site: Site) -> Client:
    return site.client()


def put(**values: Any) -> Callable[[], Any]:
    return lambda: flask.session.update(values)


def test_a_login_renews_the_id_and_makes_the_user_the_owner(site: Site, client: Client) -> None:
    client.visit(put(cart=1))
    before = client.id()

    def view() -> str:
        assert flask_login.login_user(site.users["alice"])
        assert current_session.owner == "alice"
        flask.session["after"] = 2
        return "ok"

    client.visit(view)
    assert client.id() != before
    assert client.user() == "alice fresh"
    assert client.visit(lambda: str((flask.session["cart"], flask.session["after"]))) == "(1, 2)"
    assert site.of("alice") == 1
    stranger = site.client()
    stranger.set_cookie("session", before or "")
    assert stranger.user() == "nobody"


def test_a_second_login_of_a_user_renews_the_id_and_keeps_the_data(site: Site, client: Client) -> None:
    client.log_in()
    client.visit(put(cart=1))
    before = client.id()
    client.log_in()
    assert client.id() != before
    assert client.user() == "alice fresh"
    assert client.visit(lambda: str(flask.session["cart"])) == "1"
    assert site.of("alice") == 1


def test_a_login_as_another_user_leaves_behind_what_this_request_did_not_assign(site: Site, client: Client) -> None:
    client.log_in("bob")
    client.visit(put(cart=1, language="de"))

    def view() -> None:
        flask.session["language"] = "de"
        flask.session.permanent = True
        flask.flash("welcome")
        flask_login.login_user(site.users["alice"], remember=True)

    client.visit(view)
    assert client.user() == "alice fresh"
    assert client.visit(lambda: str(flask.get_flashed_messages())) == "['welcome']"
    keys = client.visit(lambda: " ".join(sorted(flask.session)))
    assert keys == "_fresh _id _user_id language"
    assert client.visit(lambda: str(flask.session.permanent)) == "True"
    assert client.remember() is not None
    assert (site.of("alice"), site.of("bob")) == (1, 0)


def test_a_logout_ends_the_session_and_keeps_the_message_of_its_request(site: Site, client: Client) -> None:
    client.log_in()
    client.visit(put(cart=1))
    before = client.id()
    client.log_out()
    assert (client.id(), site.of("alice"), site.harness.keys()) == (None, 0, set())
    for view in (
        lambda: (flask_login.logout_user(), flask.flash("bye")),
        lambda: (flask.flash("bye"), flask_login.logout_user()),
    ):
        client.log_in()
        client.visit(lambda view=view: str(view()))  # type: ignore[misc]
        assert client.user() == "nobody"
        assert client.visit(lambda: str(flask.get_flashed_messages())) == "['bye']"
    stranger = site.client()
    stranger.set_cookie("session", before or "")
    assert stranger.user() == "nobody"


def test_a_logout_of_nobody_leaves_the_visitor_s_session(client: Client) -> None:
    client.visit(put(cart=1))
    before = client.id()
    client.log_out()
    assert client.id() == before
    assert client.visit(lambda: str(flask.session["cart"])) == "1"


def test_a_logout_wins_against_a_request_in_flight(site: Site, client: Client) -> None:
    client.log_in()
    before = client.id() or ""

    def slow() -> str:
        assert flask_login.current_user.get_id() == "alice"
        flask.session["late"] = 1
        other = site.client()
        other.set_cookie("session", before)
        other.log_out()
        return "ok"

    client.visit(slow, status=409)
    assert site.harness.keys() == set()


# ---- remember cookies


def test_a_login_from_a_remember_cookie_renews_and_is_not_fresh(site: Site, client: Client) -> None:
    client.log_in(remember=True)
    client.forget_session()
    client.visit(put(cart=1))
    before = client.id()
    assert client.user() == "alice stale"
    assert client.id() != before
    assert client.visit(lambda: str(flask.session["cart"])) == "1"
    assert site.of("alice") == 2
    after = client.id()
    assert client.user() == "alice stale"
    assert client.id() == after


def test_a_stale_login_is_not_a_recent_one_until_it_is_confirmed(site: Site, client: Client) -> None:
    step_up = fresh_login(seconds=60)(lambda: "done")
    with_flask_login = flask_login.fresh_login_required(lambda: "done")
    client.log_in(remember=True)
    assert client.visit(step_up) == client.visit(with_flask_login) == "done"
    client.forget_session()
    assert client.user() == "alice stale"
    client.visit(step_up, status=401)
    client.visit(with_flask_login, status=401)
    before = client.id()
    client.visit(lambda: str(flask_login.confirm_login()))
    assert client.id() != before
    assert client.user() == "alice fresh"
    assert client.visit(step_up) == client.visit(with_flask_login) == "done"
    site.harness.advance(61)
    client.visit(step_up, status=401)


def test_a_logout_clears_the_remember_cookie(client: Client) -> None:
    client.log_in(remember=True)
    assert client.remember() is not None
    client.log_out()
    assert (client.remember(), client.id()) == (None, None)
    assert client.user() == "nobody"


def test_a_late_request_with_a_remember_cookie_does_not_undo_the_logout(site: Site, client: Client) -> None:
    client.log_in(remember=True)
    late = site.client()
    late.set_cookie("session", client.id() or "")
    late.set_cookie("remember_token", client.remember() or "")
    client.log_out()
    late.site.view = lambda: flask_login.current_user.get_id()
    answer = late.get("/")
    assert (answer.status_code, answer.headers.getlist("Set-Cookie")) == (200, [])
    assert site.harness.keys() == set()


def test_a_remember_cookie_where_no_session_cookie_can_be_sent_logs_in_for_one_request() -> None:
    site = Site(secure=True)
    client = site.client()
    client.visit(lambda: str(flask_login.login_user(site.users["alice"], remember=True)), base_url="https://localhost")
    client.delete_cookie("__Host-session")
    assert client.visit(lambda: f"{client_name()} {current_session.owner} {len(flask.session)}") == "alice None 0"
    assert site.of("alice") == 1


def test_the_end_of_all_sessions_does_not_reach_browsers_with_a_remember_cookie(site: Site, client: Client) -> None:
    client.log_in(remember=True)
    plain = site.client()
    plain.log_in()
    assert site.sessions.end_all("alice") == 2
    assert plain.user() == "nobody"
    assert client.visit(client_name) == "alice"
    assert site.of("alice") == 0
    site.harness.advance(MARK_SECONDS + 1)
    assert client.user() == "alice stale"
    assert site.of("alice") == 1


def test_it_does_where_the_id_of_a_user_changes_with_the_password(site: Site, client: Client) -> None:
    client.log_in(remember=True)
    here = site.client()
    here.log_in(remember=True)

    def change_password() -> None:
        user = site.users.pop("alice")
        before, user.id = user.get_id(), "alice, second password"
        site.users[user.id] = user
        site.sessions.end_all(before)
        flask_login.login_user(user)

    here.visit(change_password)
    assert here.user() == "alice, second password fresh"
    assert client.user() == "nobody"


def test_a_remember_cookie_of_an_unknown_user_begins_no_session(site: Site, client: Client) -> None:
    client.log_in(remember=True)
    client.forget_session()
    site.harness.clear()
    del site.users["alice"]
    assert client.user() == "nobody"
    assert (client.id(), site.harness.keys()) == (None, set())


def test_a_remember_cookie_that_every_response_renews_is_sent_again(site: Site, client: Client) -> None:
    site.app.config["REMEMBER_COOKIE_REFRESH_EACH_REQUEST"] = True
    client.log_in()
    assert client.remember() is not None
    client.delete_cookie("remember_token")
    client.get("/idle")
    assert client.remember() is not None


# ---- protection, limits, failures


def test_a_logout_ends_the_session_of_a_user_who_was_deleted(site: Site, client: Client) -> None:
    client.log_in()
    del site.users["alice"]
    client.log_out()
    assert (client.id(), site.harness.keys()) == (None, set())


def test_a_confirmation_of_nobody_is_no_login(site: Site, client: Client) -> None:
    client.visit(flask_login.confirm_login)
    assert client.visit(lambda: str(current_session.owner)) == "None"


def test_an_application_without_a_secret_answers_as_with_flask_s_own_sessions(site: Site, client: Client) -> None:
    client.visit(client_name)
    site.app.config["SECRET_KEY"] = None
    assert client.visit(client_name) == "None"


def test_strong_protection_ends_a_session_that_comes_from_elsewhere(site: Site, client: Client) -> None:
    site.manager.session_protection = "strong"
    client.visit(put(cart=1))
    client.visit(lambda: str(flask_login.current_user))
    assert client.visit(lambda: str(flask.session["cart"])) == "1"
    client.log_in(remember=True)
    assert client.visit(client_name, headers={"User-Agent": "another"}) == "None"
    assert (site.of("alice"), client.remember()) == (0, None)
    assert client.user() == "nobody"


def client_name() -> str:
    return str(flask_login.current_user.get_id())


def test_basic_protection_makes_the_login_stale(site: Site, client: Client) -> None:
    client.log_in()
    assert client.visit(client_name, headers={"User-Agent": "another"}) == "alice"
    assert client.user() == "alice stale"
    client.visit(fresh_login(seconds=60)(lambda: "done"), status=401)


def test_a_refused_login_leaves_the_session_as_it_was() -> None:
    site = Site(max_sessions=1, session_limit=SessionLimit.REFUSE)
    site.client().log_in()
    client = site.client()
    client.log_in("bob")
    before = client.id()
    client.log_in("alice", status=409)
    assert client.id() == before
    assert client.user() == "bob fresh"

    def caught() -> str:
        try:
            flask_login.login_user(site.users["alice"])
        except TooManySessions as error:
            flask.flash(type(error).__name__)
        return client_name()

    assert client.visit(caught) == "bob"
    assert client.user() == "bob fresh"
    assert client.visit(lambda: str(flask.get_flashed_messages())) == "['TooManySessions']"


def test_a_refused_login_from_a_remember_cookie_is_refused_once() -> None:
    site = Site(max_sessions=1, session_limit=SessionLimit.REFUSE)
    client = site.client()
    client.log_in(remember=True)
    client.forget_session()
    client.visit(client_name, status=409)
    assert client.user() == "nobody"


def test_an_outage_is_a_503_and_leaves_alone_what_needs_no_session(site: Site, client: Client) -> None:
    client.log_in(remember=True)
    before = client.id()
    with site.harness.outage():
        for view in (client_name, lambda: flask_login.login_user(site.users["bob"]), flask_login.logout_user):
            client.visit(view, status=503)
        idle = client.get("/idle")
        assert (idle.status_code, idle.headers.get("Cache-Control")) == (200, None)
    assert client.id() == before
    assert client.user() == "alice fresh"


def test_a_login_that_fails_at_the_store_leaves_nobody_logged_in_without_an_owner(
    site: Site, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.visit(put(cart=1))
    before = client.id()

    def fail(*_: Any) -> None:
        raise StoreUnavailable("the store is away")

    with monkeypatch.context() as patch:
        patch.setattr(site.harness.store, "create", fail)
        client.log_in(status=503)
    assert client.id() == before
    assert client.user() == "nobody"
    assert client.visit(lambda: str("_user_id" in flask.session)) == "False"


def test_the_option_is_off_by_default() -> None:
    app = Flask("tests")
    app.secret_key = "k" * 32
    Sessions(app, store=MemoryStore())
    manager = flask_login.LoginManager(app)
    manager.user_loader(User)
    with app.test_request_context():
        flask_login.login_user(User("alice"))
        assert current_session.owner is None


def test_without_flask_login_the_option_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "flask_login", None)
    with pytest.raises(OptionsError, match=r"^flask_login needs the package flask-login: pip install flask-login$"):
        Sessions(Flask("tests"), store=MemoryStore(), options=SessionOptions(secrets="k" * 32, flask_login=True))
