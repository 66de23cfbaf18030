"""Pages in English and Korean: which language a browser gets, and that no text is missing."""

import ast
import re
import string
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import NoReturn

import pytest
from flask import Flask
from flask.testing import FlaskClient
from markupsafe import Markup
from werkzeug import exceptions

import nodes
from nodes import Settings, create_app, pages
from nodes.language import CATALOGUE, LANGUAGES, translate
from nodes.sessions import CookieNotSendable, NotAllEnded, SessionError, StoreUnavailable
from nodes.store_kinds import SessionStoreKind
from tests.support.node_app import ALICE, HTML, ParsedPage, age_login, log_in, token_of

NODES = Path(nodes.__file__).parent
TEMPLATES = sorted((NODES / "templates").glob("*.html"))
KOREAN = {**HTML, "Accept-Language": "ko-KR,ko;q=0.9,en-US;q=0.8,en;q=0.7"}

SOURCES = ("account_sessions", "app", "auth", "csrf", "pages", "rate_limit", "request", "shop", "accounts/passwords")
LIBRARY = ("sessions/extension", "sessions/persistence", "sessions/users")
"""Modules whose texts a page shows; of the library those that stand in a sentence of the shop."""
OF_LIBRARY = {"NotAllEnded", "CookieNotSendable"}
SHOWN = {"PasswordRefused", "ValueError", "_say_if_cut_off", "_error", "_TITLES.get"}
SHOWN |= {error.__name__ for error in exceptions.default_exceptions.values()}
MADE = {"{} on {}", "a browser", "a program", "an unknown browser", "{} is missing"}
MADE |= {"user", "password", "current", "new", "item", "quantity"}
MADE |= {"quantity must be a whole number from 1 to {}, not {}"}
"""Texts that the code puts together: names of browsers, and errors about fields of forms."""


def texts_of(value: ast.expr, constants: dict[str, str]) -> Iterator[str]:
    """The texts that an expression may be; `{}` for a value in an f-string."""
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield value.value
    elif isinstance(value, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in value.values)
    elif isinstance(value, ast.Name) and value.id in constants:
        yield constants[value.id]
    elif isinstance(value, ast.IfExp | ast.BoolOp):
        for choice in [value.body, value.orelse] if isinstance(value, ast.IfExp) else value.values:
            yield from texts_of(choice, constants)


def constants_of(tree: ast.Module) -> dict[str, str]:
    return {
        statement.targets[0].id: statement.value.value
        for statement in tree.body
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
        if isinstance(statement.value, ast.Constant) and isinstance(statement.value.value, str)
    }


def texts_in_code() -> set[str]:
    trees = {name: ast.parse((NODES / f"{name}.py").read_text()) for name in SOURCES + LIBRARY}
    constants = {name: constants_of(tree) for name, tree in trees.items()}
    found: set[str] = set()
    for name, node in ((name, node) for name, tree in trees.items() for node in ast.walk(tree)):
        shown = SHOWN if name in SOURCES else OF_LIBRARY
        if isinstance(node, ast.Call) and ast.unparse(node.func).removeprefix("exceptions.") in shown:
            found |= {text for value in node.args for text in texts_of(value, constants[name])}
        elif isinstance(node, ast.FunctionDef) and node.name == "cookie_refusal":
            returned = [each.value for each in ast.walk(node) if isinstance(each, ast.Return) and each.value]
            found |= {text for value in returned for text in texts_of(value, constants[name])}
    return found


def texts() -> set[str]:
    """The English texts of all pages."""
    found = {text for path in TEMPLATES for text in re.findall(r'\b_\("([^"]+)"', path.read_text())}
    found |= texts_in_code() | MADE | set(pages._TITLES.values())
    found |= {text for title_and_message in pages._SESSION_ERRORS.values() for text in title_and_message}
    return found | {exceptions.default_exceptions[code].description or "" for code in (*pages._TITLES, 500)}


def test_every_text_of_the_pages_is_in_the_catalogue_and_no_other() -> None:
    assert texts() - CATALOGUE.texts.keys() == set()
    assert CATALOGUE.texts.keys() - texts() == set()


def placeholders(text: str) -> list[str]:
    found = (name for _, name, _, _ in string.Formatter().parse(text) if name is not None)
    return [name.partition(".")[0] for name in found]


def test_every_korean_text_is_korean_and_has_the_values_of_the_english_one() -> None:
    assert [english for english, korean in CATALOGUE.texts.items() if not re.search("[가-힣]", korean)] == []
    assert [english for english, korean in CATALOGUE.texts.items() if not has_its_values(korean, english)] == []


def has_its_values(korean: str, english: str) -> bool:
    if "{}" in english:
        return set(placeholders(korean)) <= set(map(str, range(english.count("{}"))))
    return set(placeholders(korean)) == set(placeholders(english))


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_a_template_has_no_text_beside_the_catalogue(template: Path) -> None:
    source = re.sub(r"\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}", "", template.read_text(), flags=re.DOTALL)
    shown = re.sub(r"<[^>]*>", " ", source).split()
    shown += re.findall(r'(?:aria-label|placeholder|title|alt)="([^"]+)"', source)
    assert set(shown) <= {"Session", "Cluster", "\N{MIDDLE DOT}", "\N{MULTIPLICATION SIGN}"}


def words(page: str) -> set[str]:
    """The words in Latin letters that a person sees on a page."""
    body = re.sub(r"<code>.*?</code>|\b[0-9a-f]{16}\b", " ", page)  # ids of requests, handles of sessions
    shown = " ".join([re.sub(r"<[^>]*>", " ", body), *re.findall(r'(?:aria-label|placeholder)="([^"]*)"', body)])
    return set(re.findall(r"[A-Za-z]{2,}", unescape(shown)))


NAMES = {"Session", "Cluster", "English", "node", "nginx", "alice", "Firefox", "Linux", "UTC", "pear", "many"}


def test_korean_pages_have_no_english_word(app: Flask, settings: Settings, tmp_path: Path) -> None:
    user, visitor, other_worker = log_in(app), app.test_client(), create_app(settings).test_client()
    user.post("/cart", json={"item": "pear", "quantity": 2})
    log_in(app)
    stored = user.get_cookie("session")
    assert stored is not None
    other_worker.set_cookie("session", stored.value)
    shared = create_app(replace(settings, store=SessionStoreKind.FILE, folder=tmp_path / "sessions")).test_client()
    answers = [visitor.get("/", headers=KOREAN), other_worker.get("/", headers=KOREAN)]
    answers += [visitor.get("/account", headers=KOREAN)]
    login = {"user": "alice", "password": "wrong word", "back": "/account", "csrf_token": token_of(visitor)}
    answers += [visitor.post("/login", data=login, headers=KOREAN)]
    answers += [user.get(path, headers=KOREAN) for path in ("/", "/account", "/sessions", "/nothing")]
    form = {"user": "alice", "password": "wrong word", "item": "pear", "quantity": "many", "csrf_token": token_of(user)}
    form |= {"current": "wrong word", "new": "another word"}
    answers += [user.post(path, data=form, headers=KOREAN) for path in ("/login", "/cart", "/password")]
    age_login(app, 301)
    answers += [user.post("/sessions/end", data=form, headers=KOREAN)]
    answers += [user.post("/visits", data={"csrf_token": "x"}, headers=KOREAN)]
    assert {answer.status_code for answer in answers} == {200, 400, 401, 403, 404}
    for answer in answers:
        assert '<html lang="ko">' in answer.text
        assert words(answer.text) <= NAMES, answer.request.path
    assert words(shared.get("/", headers=KOREAN).text) <= NAMES | {"file"}
    assert "node-2 노드는 이 세션을 모릅니다" in answers[1].text
    assert "비밀번호는 맞았습니다" in answers[1].text


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (StoreUnavailable("out of reach"), "로그아웃된 것은 아니니"),
        (NotAllEnded("7 sessions were ended, and 2 are left; send the request again"), "7개를 끝냈고 2개가 남았으니"),
        (
            CookieNotSendable(
                "no session can be created: its cookie is for TLS only, and the request came over plain HTTP"
            ),
            "쿠키는 TLS 전용",
        ),
    ],
)
def test_errors_of_sessions_are_said_in_korean_and_to_programs_in_english(
    app: Flask, error: SessionError, said: str
) -> None:
    def fail() -> NoReturn:
        raise error

    app.add_url_rule("/fail", view_func=fail)
    client = app.test_client()
    page = unescape(client.get("/fail", headers=KOREAN).text)
    assert said in page
    assert words(page) <= NAMES | {"TLS", "HTTP"}
    program = client.get("/fail", headers={"Accept-Language": "ko"})
    assert program.status_code == error.status
    assert not re.search("[가-힣]", program.text)


@pytest.mark.parametrize(
    ("english", "korean"),
    [
        ("Firefox on Linux", "Linux의 Firefox"),
        ("a browser on Windows", "Windows의 브라우저"),
        ("user is missing", "필수 항목이 없습니다: 사용자"),
        ("current is missing", "필수 항목이 없습니다: 현재 비밀번호"),
        ("quantity must be a whole number from 1 to 1000, not 0", "수량은 1부터 1000까지의 정수여야 합니다(입력: 0)"),
        ("something new {that} the catalogue does not have", "something new {that} the catalogue does not have"),
    ],
)
def test_a_text_with_values_in_it_is_translated_with_them(english: str, korean: str) -> None:
    assert CATALOGUE.to_korean(english) == korean


def language(client: FlaskClient, path: str = "/", sent: str = "") -> str:
    page = client.get(path, headers={**HTML, "Accept-Language": sent}).text
    return page.split('<html lang="')[1].split('"')[0]


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("", "en"),
        ("*", "en"),
        ("de", "en"),
        ("ko", "ko"),
        ("ko-KR,ko;q=0.9,en;q=0.8", "ko"),
        ("en-US,en;q=0.9,ko;q=0.8", "en"),
        ("ja,ko;q=0.5", "ko"),
        ("ko-KR, en;q=0.5", "ko"),
        ("en;q=0.5, KO-kr", "ko"),
        ("ko;q=0, en;q=0.1", "en"),
        ("x" * 5000, "en"),
    ],
)
def test_a_browser_gets_the_language_that_it_prefers(client: FlaskClient, sent: str, expected: str) -> None:
    assert language(client, sent=sent) == expected
    assert client.get_cookie("lang") is None


def switch(page: str) -> str:
    """The address of the link to the other language."""
    (address,) = {link for link in ParsedPage(page).links if "lang=" in link}
    return address


def test_the_link_to_the_other_language_is_kept_by_a_cookie_of_its_own(client: FlaskClient) -> None:
    address = switch(client.get("/", headers=HTML).text)
    assert address == "?lang=ko"
    answer = client.get(f"/{address}", headers=HTML)
    (header,) = answer.headers.getlist("Set-Cookie")
    assert header.startswith("lang=ko;")
    assert {"HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=31536000"} <= set(header.split("; "))
    assert [language(client, path, "en") for path in ("/", "/nothing", "/account")] == ["ko"] * 3
    assert language(client, f"/{switch(client.get('/', headers=HTML).text)}") == "en"
    assert language(client, "/", "ko") == "en"


def test_over_tls_the_cookie_of_the_language_is_bound_to_the_host(client: FlaskClient) -> None:
    answer = client.get("/?lang=ko", headers=HTML, base_url="https://localhost")
    (header,) = answer.headers.getlist("Set-Cookie")
    assert header.startswith("__Host-lang=ko;")
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(header.split("; "))
    assert 'lang="ko"' in client.get("/", headers=HTML, base_url="https://localhost").text


@pytest.mark.parametrize("sent", ["de", "", "KO", '"><script>', "ko&lang=en"])
def test_only_the_languages_of_the_catalogue_can_be_chosen(client: FlaskClient, sent: str) -> None:
    chosen = "ko" if sent.startswith("ko") else None
    answer = client.get(f"/?lang={sent}", headers=HTML)
    assert f'<html lang="{chosen or "en"}">' in answer.text
    assert [cookie.partition(";")[0] for cookie in answer.headers.getlist("Set-Cookie")] == (
        [f"lang={chosen}"] if chosen else []
    )
    client.set_cookie("lang", sent)
    assert language(client, "/nothing") == "en"


@pytest.mark.parametrize(
    ("path", "address"),
    [("/login", "/?lang=ko"), ("/password", "/account?lang=ko"), ("/sessions/end", "/sessions?lang=ko")],
)
def test_the_link_of_a_refused_form_leads_to_the_page_of_the_form(client: FlaskClient, path: str, address: str) -> None:
    client.post("/login", json=ALICE)
    assert switch(client.post(path, data={"csrf_token": "x"}, headers=HTML).text) == address


def test_a_program_gets_english_and_no_cookie(client: FlaskClient) -> None:
    refused = client.post("/login?lang=ko", json={**ALICE, "password": "wrong"}, headers={"Accept-Language": "ko"})
    assert refused.get_json() == {"error": "User or password is wrong."}
    assert "Set-Cookie" not in refused.headers


def test_the_language_asks_no_store_and_pages_vary_by_it(app: Flask, client: FlaskClient) -> None:
    answer = client.get("/nothing?lang=ko", headers=HTML)
    assert {"Accept", "Accept-Language"} <= set(answer.headers["Vary"].split(", "))
    assert answer.headers["Cache-Control"] == "no-store"
    assert len(app.extensions["store"].wraps._entries) == 0


@pytest.mark.parametrize("code", LANGUAGES)
def test_values_and_texts_are_escaped(code: str) -> None:
    attack = '"><script>alert(1)</script>{0}{user}'
    for shown in (translate(code, attack), translate(code, "Is it you, {user}?", user=attack)):
        assert not {"<", ">", '"'} & set(shown)
        assert attack in unescape(shown)
    assert "<time>" in translate(code, "Logged in since {time}.", time=Markup("<time>1</time>"))
