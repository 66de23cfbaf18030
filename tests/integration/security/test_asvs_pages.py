"""OWASP ASVS 5.0, 7.4.4, on real nodes behind a real nginx: every page, found by the routes and by links."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import requests

from nodes import Settings, create_app
from tests.integration.security.cluster import Cluster
from tests.support.node import SECRET

HTML = {"Accept": "text/html"}


class Page(HTMLParser):
    """Where a page leads, its forms by where they are sent, and the token in them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.forms: dict[str, set[str]] = {}
        self.token = ""
        self._form: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "a":
            self.links.add(found["href"])
        elif tag == "form":
            assert found["method"] == "post"
            self._form = self.forms.setdefault(found["action"], set())
        elif tag in {"input", "button"}:
            self._form.add(found.get("name", tag))
            self.token = found["value"] if found.get("name") == "csrf_token" else self.token


def routes(cluster: Cluster) -> set[str]:
    """What answers to GET, files and what needs a name aside."""
    app = create_app(Settings(node_name="n", secrets=(SECRET,), users_file=cluster.users))
    return {rule.rule for rule in app.url_map.iter_rules() if "GET" in (rule.methods or ()) and not rule.arguments}


def get(browser: requests.Session, url: str) -> Page | None:
    """The page; None where that is none."""
    answer = browser.get(url, headers=HTML, timeout=20)
    assert answer.status_code == 200, url
    return Page(answer.text) if answer.headers["Content-Type"].startswith("text/html") else None


def crawled(browser: requests.Session, home: str) -> dict[str, Page]:
    """By path, every page that links lead to from the first one."""
    found: dict[str, Page] = {}
    left = ["/"]
    while left:
        path = left.pop()
        page = get(browser, home + path)
        assert page is not None
        found[path] = page
        to = {urlsplit(urljoin(home + path, link)) for link in page.links}
        assert {f"{each.scheme}://{each.netloc}" for each in to} <= {home}
        left += [each.path for each in to if each.path not in {*found, *left}]
    return found


def test_7_4_4_logout_is_on_every_page_of_who_is_logged_in(cluster: Cluster) -> None:
    browser = cluster.log_in()
    for url in cluster.urls:
        by_route = {path: page for path in routes(cluster) if (page := get(browser, url + path)) is not None}
        by_link = crawled(browser, url)
        assert by_route.keys() == by_link.keys() == {"/", "/account", "/sessions"}
        for path, page in [*by_route.items(), *by_link.items()]:
            assert page.forms.get("/logout") == {"csrf_token", "button"}, path


def test_7_4_4_and_on_those_that_answer_a_form(cluster: Cluster) -> None:
    browser = cluster.log_in("bob")
    home = get(browser, f"{cluster.url}/")
    assert home is not None
    token = {"csrf_token": home.token}

    def answered(path: str, **form: str) -> tuple[int, set[str]]:
        answer = browser.post(f"{cluster.url}{path}", data=token | form, headers=HTML, timeout=20)
        return answer.status_code, Page(answer.text).forms.get("/logout", set())

    logout = {"csrf_token", "button"}
    assert answered("/login", user="bob", password="wrong password") == (401, logout)
    assert answered("/cart", item="apple", quantity="none") == (400, logout)
    assert answered("/password", current="wrong password", new="another one") == (403, logout)
    cluster.age(301)
    assert answered("/sessions/end") == (401, logout)  # the page that asks for the password again


def test_7_4_4_and_it_logs_out(cluster: Cluster) -> None:
    for path in ("/", "/account", "/sessions"):
        browser = cluster.log_in()
        value = browser.cookies["session"]
        page = get(browser, cluster.url + path)
        assert page is not None
        answer = browser.post(
            f"{cluster.url}/logout", data={"csrf_token": page.token}, headers=HTML, timeout=20, allow_redirects=False
        )
        assert (answer.status_code, answer.headers["Location"]) == (303, "/")
        assert cluster.users_of(value) == [None] * 3
        after = get(browser, f"{cluster.url}/")
        assert after is not None
        assert "/logout" not in after.forms
        assert "/login" in after.forms
