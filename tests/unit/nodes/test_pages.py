"""Forms and pages for browsers, at the addresses of the JSON interface."""

import re
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import NoReturn

import pytest
from flask import Flask
from flask.testing import FlaskClient

from nodes import Settings, create_app
from nodes.pages import node_colour
from nodes.sessions import (
    CookieNotSendable,
    LoginTooOld,
    MemoryStore,
    SessionEnded,
    SessionError,
    SessionTooLarge,
    StoreUnavailable,
    TooManySessions,
    UnknownKey,
)
from nodes.store_kinds import SessionStoreKind
from tests.support.node import PASSWORD, ROOT
from tests.support.node_app import ALICE, HTML, ParsedPage, age_login, log_in, token_of, user_of

TWO = "\N{MULTIPLICATION SIGN} 2"


def send(client: FlaskClient, path: str, **form: str) -> tuple[int, str]:
    """Send a form as the page would. Return the status and the page that the browser then shows."""
    response = client.post(path, data={**form, "csrf_token": token_of(client)}, headers=HTML)
    if response.status_code == 303:
        assert response.headers["Location"] == "/"
        return 303, unescape(client.get("/", headers=HTML).text)
    return response.status_code, unescape(response.text)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", "text/html"),
        ("text/html", "text/html"),
        ("*/*", "application/json"),
        ("", "application/json"),
        ("application/json", "application/json"),
        ("application/json, text/plain, */*", "application/json"),
        ("application/json;q=0.1, text/html", "text/html"),
        ("image/png", "application/json"),
    ],
)
def test_a_browser_gets_a_page_and_a_program_json(client: FlaskClient, accept: str, kind: str) -> None:
    for path in ("/", "/nothing"):
        response = client.get(path, headers={"Accept": accept} if accept else {})
        assert response.mimetype == kind
        assert "Accept" in response.headers["Vary"]


def test_the_page_shows_user_node_visits_and_cart(client: FlaskClient) -> None:
    page = client.get("/", headers=HTML).text
    assert "node-2" in page
    assert "Not logged in" in page
    client.post("/visits")
    client.post("/cart", json={"item": "apple", "quantity": 2})
    client.post("/login", json=ALICE)
    page = client.get("/", headers=HTML).text
    assert 'id="visit-count">1<' in page
    assert re.search(rf"apple.*{TWO}", page)
    assert "alice" in page
    assert "Log out" in page


def test_forms_lead_back_to_the_page(client: FlaskClient) -> None:
    assert send(client, "/visits")[0] == 303
    status, page = send(client, "/cart", item="apple", quantity="2")
    assert (status, TWO in page) == (303, True)
    status, page = send(client, "/login", user="alice", password=PASSWORD)
    assert (status, "alice" in page) == (303, True)
    status, page = send(client, "/cart/empty")
    assert (status, "Nothing in it yet" in page) == (303, True)
    status, page = send(client, "/logout")
    assert (status, "Not logged in" in page) == (303, True)


def test_the_page_reports_a_wrong_password_and_keeps_the_user_name(client: FlaskClient) -> None:
    status, page = send(client, "/login", user="alice", password="wrong word")
    assert status == 401
    assert "User or password is wrong." in page
    assert 'value="alice"' in page
    assert "wrong word" not in page


@pytest.mark.parametrize(
    ("quantity", "said"),
    [
        *((wrong, f"quantity must be a whole number from 1 to 1000, not {wrong}") for wrong in ("-5", "abc", "1.5")),
        ("x" * 5000, f"quantity must be a whole number from 1 to 1000, not {'x' * 20}…<"),
        (" ", "quantity is missing"),
    ],
)
def test_a_quantity_that_is_no_number_is_refused_in_words_for_people(
    client: FlaskClient, quantity: str, said: str
) -> None:
    status, page = send(client, "/cart", item="pear", quantity=quantity)
    assert (status, said in page, "expected" in page) == (400, True, False)


def test_the_page_reports_an_invalid_item_and_keeps_the_input(client: FlaskClient) -> None:
    for item, quantity in (("pear", "0"), ("pear", "many"), ("x" * 65, "1")):
        status, page = send(client, "/cart", item=item, quantity=quantity)
        assert status == 400
        assert 'role="alert"' in page
        assert f'value="{item}"' in page
        assert f'value="{quantity}"' in page


def test_a_worker_without_the_session_says_so_and_does_not_blame_the_password(app: Flask, settings: Settings) -> None:
    browser, other_worker = app.test_client(), create_app(settings).test_client()
    assert "does not know your session" not in browser.get("/", headers=HTML).text
    browser.post("/login", json=ALICE)
    cookie = browser.get_cookie("session")
    assert cookie is not None
    other_worker.set_cookie("session", cookie.value)
    page = other_worker.get("/", headers=HTML).text
    assert "node-2 does not know your session" in page
    assert "your password was right" in " ".join(page.split())
    assert "Nobody knows you yet" not in page
    assert "both count" not in page
    page = browser.get("/", headers=HTML).text
    assert "does not know your session" not in page, "the worker that made the session knows it"


def test_a_shared_store_promises_that_concurrent_visits_count(settings: Settings, tmp_path: Path) -> None:
    client = create_app(replace(settings, store=SessionStoreKind.FILE, folder=tmp_path / "sessions")).test_client()
    client.post("/visits")
    page = client.get("/", headers=HTML).text
    assert "both count" in page
    assert "does not know your session" not in page


def test_input_is_escaped_in_the_page(client: FlaskClient) -> None:
    attack = '"><script>alert(1)</script>'
    client.post("/cart", json={"item": attack, "quantity": 1})
    response = client.post(
        "/login", data={"user": attack, "password": "x", "csrf_token": token_of(client)}, headers=HTML
    )
    assert "<script" not in response.text
    assert "<script" in unescape(response.text)


def test_the_page_needs_no_script_and_no_inline_style(client: FlaskClient) -> None:
    client.post("/cart", json={"item": "apple", "quantity": 2})
    page = client.get("/", headers=HTML).text
    assert not re.search(r"<script|<style|\sstyle=|\son\w+=|javascript:", page)


LOGOUT_FORM = {"csrf_token", "button"}


def parse(client: FlaskClient, path: str) -> ParsedPage | None:
    """The page at this path; None where a program would get the same answer."""
    answer = client.get(path, headers=HTML)
    assert answer.status_code == 200, path
    return ParsedPage(answer.text) if answer.mimetype == "text/html" else None


def test_every_page_of_a_user_leads_to_the_others_and_to_logout(app: Flask) -> None:
    client = log_in(app)
    client.post("/cart", json={"item": "apple", "quantity": 2})
    paths = {rule.rule for rule in app.url_map.iter_rules() if "GET" in (rule.methods or ()) and not rule.arguments}
    pages = {path: page for path in paths if (page := parse(client, path)) is not None}
    assert pages.keys() == {"/", "/account", "/sessions"}
    links = set().union(*(page.links for page in pages.values()))
    assert {link for link in links if "lang=" not in link} == pages.keys()
    for path, page in pages.items():
        assert page.forms["/logout"] == LOGOUT_FORM, path
        assert all("csrf_token" in names for names in page.forms.values()), path


@pytest.mark.parametrize("path", ["/", "/account", "/sessions"])
def test_the_logout_form_of_each_page_logs_out(app: Flask, path: str) -> None:
    client = log_in(app)
    page = parse(client, path)
    assert page is not None
    answer = client.post("/logout", data={"csrf_token": page.token}, headers=HTML)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    assert user_of(client) is None
    assert {"/login"} == {"/login", "/logout"} & ParsedPage(client.get("/", headers=HTML).text).forms.keys()


def test_pages_that_answer_a_refused_form_have_the_logout_form(app: Flask) -> None:
    client = log_in(app)
    token = token_of(client)

    def refused(path: str, **form: str) -> int:
        answer = client.post(path, data={**form, "csrf_token": token}, headers=HTML)
        assert ParsedPage(answer.text).forms["/logout"] == LOGOUT_FORM
        return answer.status_code

    assert refused("/login", user="alice", password="wrong password") == 401
    assert refused("/cart", item="apple", quantity="none") == 400
    assert refused("/password", current="wrong password", new="another one") == 403
    age_login(app, 301)
    assert refused("/sessions/end") == 401  # the page that asks for the password again


def test_passwords_are_masked_and_managers_can_fill_them_in(app: Flask, client: FlaskClient) -> None:
    user = log_in(app)
    age_login(app, 301)
    answers = [
        client.get("/", headers=HTML),
        user.get("/account", headers=HTML),
        user.post("/sessions/end", data={"csrf_token": token_of(user)}, headers=HTML),
    ]
    kinds = {}
    for page in (ParsedPage(answer.text) for answer in answers):
        assert page.scripts == 0  # nothing that could stand between a manager, or a paste, and its field
        assert page.inputs["user"]["autocomplete"] == "username"
        secret = {name: page.inputs[name] for name in ("password", "current", "new") if name in page.inputs}
        assert secret
        assert {(field["type"], field["maxlength"]) for field in secret.values()} == {("password", "1024")}
        kinds.update({name: field["autocomplete"] for name, field in secret.items()})
    assert kinds == {"password": "current-password", "current": "current-password", "new": "new-password"}


def test_the_account_is_a_page_or_asks_to_log_in(client: FlaskClient) -> None:
    response = client.get("/account", headers=HTML)
    assert (response.status_code, "Not logged in" in response.text) == (401, True)
    client.post("/login", json=ALICE)
    response = client.get("/account", headers=HTML)
    assert (response.status_code, "Logged in since" in response.text) == (200, True)
    assert "Current password" in response.text


@pytest.mark.parametrize("path", ["/account", "/sessions"])
def test_a_visitor_logs_in_on_the_page_that_asks_for_it_and_is_led_back(client: FlaskClient, path: str) -> None:
    page = ParsedPage(client.get(path, headers=HTML).text)
    assert (page.inputs["back"]["value"], page.inputs["user"]["value"]) == (path, "")
    form = {"user": '"><b>alice', "password": "wrong word", "back": path, "csrf_token": page.token}
    answer = client.post("/login", data=form, headers=HTML)
    page = ParsedPage(answer.text)
    assert (answer.status_code, "User or password is wrong." in answer.text) == (401, True)
    assert (page.inputs["back"]["value"], page.inputs["user"]["value"]) == (path, form["user"])
    assert "<b>" not in answer.text
    assert f"{path}?lang=ko" in page.links
    answer = client.post("/login", data={**form, **ALICE, "csrf_token": page.token}, headers=HTML)
    assert (answer.status_code, answer.headers["Location"]) == (303, path)


def test_a_form_that_needs_a_login_leads_a_visitor_to_one_and_to_its_page(client: FlaskClient) -> None:
    for path, back in (("/password", "/account"), ("/sessions/end", "/sessions")):
        answer = client.post(path, data={"csrf_token": token_of(client)}, headers=HTML)
        assert (answer.status_code, ParsedPage(answer.text).inputs["back"]["value"]) == (401, back)


def test_a_wrong_password_of_a_user_who_is_logged_in_is_reported_and_changes_nothing(app: Flask) -> None:
    client = log_in(app)
    for user, hidden in (("alice", True), ("bob", False)):
        form = {"user": user, "password": "wrong word", "back": "/sessions", "csrf_token": token_of(client)}
        answer = client.post("/login", data=form, headers=HTML)
        page = ParsedPage(answer.text)
        assert (answer.status_code, "User or password is wrong." in answer.text) == (401, True)
        assert (page.inputs["user"]["value"], "hidden" in page.inputs["user"]) == (user, hidden)
        assert page.inputs["back"]["value"] == "/sessions"
    assert user_of(client) == "alice"


@pytest.mark.parametrize(
    ("path", "page"),
    [("/login", "/"), ("/cart", "/"), ("/logout", "/"), ("/password", "/account"), ("/sessions/end", "/sessions")],
)
def test_the_address_of_a_refused_form_leads_back_to_its_page(client: FlaskClient, path: str, page: str) -> None:
    response = client.get(path, headers=HTML)
    assert (response.status_code, response.headers["Location"]) == (302, page)


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nothing", 404), ("PUT", "/login", 405)])
def test_errors_are_pages_that_name_the_node_and_the_request(
    client: FlaskClient, method: str, path: str, status: int
) -> None:
    response = client.open(path, method=method, headers=HTML)
    assert response.status_code == status
    assert response.mimetype == "text/html"
    assert response.headers["X-Request-ID"] in response.text
    assert f"{status}, from node-2" in response.text


@pytest.mark.parametrize(
    ("error", "status", "title"),
    [
        (SessionEnded, 409, "Not saved"),
        (TooManySessions, 409, "Too many logins"),
        (SessionTooLarge, 413, "Your session is full"),
        (CookieNotSendable, 400, "Login not possible here"),
        (LoginTooOld, 401, "Not logged in"),
        (UnknownKey, 503, "The session store can't be reached"),
    ],
)
def test_the_page_of_an_error_of_a_session_has_its_title(
    app: Flask, error: type[SessionError], status: int, title: str
) -> None:
    def fail() -> NoReturn:
        raise error("the reason")

    app.add_url_rule("/fail", view_func=fail)
    page = app.test_client().get("/fail", headers=HTML)
    assert (page.status_code, f"<h1>{title}</h1>" in unescape(page.text)) == (status, True)


def test_a_login_that_the_store_failed_keeps_the_typed_name_and_not_the_password(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = {"user": "alice", "password": "wonderland-of-tests", "csrf_token": token_of(client)}

    def fail(*_: object, **__: object) -> None:
        raise StoreUnavailable("out of reach")

    with monkeypatch.context() as patched:
        patched.setattr(MemoryStore, "load", fail)
        refused = client.post("/login", data=form, headers=HTML)
    assert refused.status_code == 503
    assert "wonderland" not in refused.text
    (back,) = re.findall(r'class="button" href="([^"]+)"', refused.text)
    page = client.get(unescape(back), headers=HTML)
    assert re.search(r'<input id="user" name="user" value="alice"', page.text)


@pytest.mark.parametrize(
    ("method", "path", "advice", "button"),
    [
        ("GET", "/", "please try again in a moment", "Try again"),
        ("POST", "/visits", "may not have been carried out: check before you repeat it.", "Back to the page"),
    ],
)
def test_during_an_outage_a_read_may_be_repeated_and_a_write_is_checked_first(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, method: str, path: str, advice: str, button: str
) -> None:
    def fail(store: MemoryStore, key: str) -> None:
        raise StoreUnavailable("out of reach")

    client.post("/visits")
    monkeypatch.setattr(MemoryStore, "load", fail)
    page = client.open(path, method=method, headers=HTML)
    assert (page.status_code, advice in unescape(page.text), f">{button}<" in page.text) == (503, True, True)
    answer = client.open(path, method=method)
    assert (answer.status_code, advice in answer.get_json()["error"]) == (503, True)
    for text in (page.text, answer.text):
        assert ("again" in text.lower()) == (method == "GET")


@pytest.mark.parametrize(("path", "is_empty"), [("/me", True), ("/visits", False), ("/cart", False)])
def test_the_page_says_that_visits_and_cart_are_kept_only_where_there_are_some(
    client: FlaskClient, path: str, is_empty: bool
) -> None:
    client.open(path, method="GET" if is_empty else "POST", json={"item": "apple", "quantity": 2})
    anonymous = client.get("/", headers=HTML).text
    assert send(client, "/login", **ALICE)[0] == 303
    client.post("/visits")  # what begins after the login did not come along
    user = client.get("/", headers=HTML).text
    assert ("your cart come along" in anonymous, "your cart came along" in user) == (not is_empty, not is_empty)


def test_a_login_as_another_user_says_nothing_of_a_cart_that_came_along(client: FlaskClient) -> None:
    client.post("/visits")
    send(client, "/login", **ALICE)
    status, page = send(client, "/login", user="bob", password=PASSWORD)
    assert (status, "bob" in page, "came along" in page) == (303, True, False)


def test_the_page_says_where_sessions_live(client: FlaskClient) -> None:
    assert "memory of one worker" in client.get("/", headers=HTML).text


def test_neighbouring_nodes_have_colours_of_their_own() -> None:
    assert [node_colour(f"node-{number}") for number in range(1, 10)] == [0, 1, 2, 3, 4, 5, 6, 7, 0]
    assert 0 <= node_colour("a-host") < 8


def luminance(colour: str) -> float:
    channels = (int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4))
    linear = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_white_text_is_readable_on_the_colour_of_every_node() -> None:
    style = (ROOT / "nodes" / "static" / "style.css").read_text()
    colours = re.findall(r"\.node-\d \{ --node: #([0-9a-f]{6}); \}", style)
    assert len(colours) == 8
    for colour in colours:
        assert 1.05 / (luminance(colour) + 0.05) >= 4.5, colour  # WCAG 2.2, 1.4.3, against white
