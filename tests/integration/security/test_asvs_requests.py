"""OWASP ASVS 5.0, chapters 3, 6, 11, 14 and 16, on nodes behind nginx, with TLS and without."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.cookies import SimpleCookie
from typing import Any

import flask
import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from nodes import Settings, create_app
from nodes.accounts import create_users, read_hashes
from nodes.sessions import SameSite, SessionOptions, cookie
from tests.integration.security.cluster import HTML, USERS, Cluster, Page, credentials, id_of
from tests.support.node import PASSWORD, SECRET


def attributes(header: str) -> dict[str, str]:
    """The attributes of a Set-Cookie header, in lower case."""
    parts = [part.strip().partition("=") for part in header.split(";")[1:]]
    return {name.lower(): value.lower() for name, _, value in parts}


def set_cookies(answer: requests.Response) -> list[str]:
    headers: Any = answer.raw.headers
    return list(headers.getlist("Set-Cookie"))


def test_3_3_1_to_3_3_4_every_cookie_is_bound_to_the_host_and_unseen_by_scripts(cluster: Cluster) -> None:
    browser = requests.Session()
    trusted = str(cluster.tls.authority)
    answers = [
        browser.post(f"{cluster.secure_url}{path}", json=body, timeout=20, verify=trusted)
        for path, body in (("/visits", {}), ("/login", credentials()), ("/logout", {}))
    ]
    headers = [header for answer in answers for header in set_cookies(answer)]
    names = [header.partition("=")[0] for header in headers]
    assert sorted(names) == ["__Host-device", "__Host-session", "__Host-session", "__Host-session"]
    for header in headers:
        found = attributes(header)
        assert {"secure", "httponly"} <= found.keys(), header
        assert (found["path"], found.get("domain"), found["samesite"]) == ("/", None, "lax"), header
    assert attributes(headers[-1])["max-age"] == "0"  # the deletion, which would be ignored without the prefix's rules
    plain = requests.post(f"{cluster.url}/login", json=credentials(), timeout=20)
    for header in set_cookies(plain):
        assert attributes(header).keys() >= {"httponly", "samesite"}
        assert not header.startswith("__Host-")


def test_3_3_1_to_3_3_4_the_id_is_in_no_body_and_no_address(cluster: Cluster) -> None:
    browser = cluster.log_in()
    for path in ("/", "/me", "/account", "/sessions", "/metrics", "/nothing"):
        answer = browser.get(cluster.url + path, headers=HTML, timeout=20)
        assert id_of(browser) not in answer.text
        assert id_of(browser) not in answer.url
        assert id_of(browser) not in json.dumps(dict(answer.headers))


@pytest.mark.parametrize("secure", [False, True])
def test_3_3_5_name_and_value_stay_within_4096_bytes(tmp_path: Any, secure: bool) -> None:
    name = "n" * 64
    longest = cookie.sign("A" * 128, SECRET.encode())
    options = SessionOptions(secrets=(SECRET,), name=name, same_site=SameSite.LAX)
    assert len(options.cookie_name(secure)) + len(longest) <= 4096
    with pytest.raises(ValueError, match="name must be 1 to 64"):
        SessionOptions(secrets=(SECRET,), name="n" * 65)
    assert not cookie.is_canonical("A" * 129)
    user = "u" * 64  # the cookie by which a browser is known holds the user's name
    create_users(tmp_path / "users.json", [user], PASSWORD)
    app = create_app(Settings(node_name="n", secrets=(SECRET,), users_file=tmp_path / "users.json", session_name=name))
    base = "https://localhost" if secure else "http://localhost"
    answer = app.test_client().post("/login", json=credentials(user), base_url=base)
    sent = SimpleCookie("; ".join(header.partition(";")[0] for header in answer.headers.getlist("Set-Cookie")))
    assert len(sent) == 2
    assert all(len(each.key) + len(each.value) <= 4096 for each in sent.values())


def test_3_5_1_what_another_site_sends_is_refused(cluster: Cluster) -> None:
    def token_of(browser: requests.Session) -> str:
        return Page(browser.get(f"{cluster.url}/", headers=HTML, timeout=20).text).token

    browser = cluster.log_in("bob")
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": cluster.nodes[0].url},  # the node's own port is another origin than the proxy's
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        for path in ("/logout", "/visits", "/password", "/sessions/end", "/cart/empty"):
            answer = browser.post(cluster.url + path, json={}, headers=headers, timeout=20)
            assert answer.status_code == 403, (headers, path)
    for form in ({}, {"csrf_token": "x"}, {"csrf_token": token_of(cluster.log_in())}):
        answer = browser.post(f"{cluster.url}/logout", data=form | {"a": "b"}, headers=HTML, timeout=20)
        assert answer.status_code == 403
    assert cluster.users_of(browser) == ["bob"] * 3
    mine = {"csrf_token": token_of(browser)}
    answer = browser.post(f"{cluster.url}/logout", data=mine, headers=HTML, timeout=20, allow_redirects=False)
    assert answer.status_code == 303


def test_3_5_3_what_changes_something_answers_to_no_safe_method(cluster: Cluster) -> None:
    browser = cluster.log_in()
    app = create_app(Settings(node_name="n", secrets=(SECRET,), users_file=cluster.users))
    for rule in app.url_map.iter_rules():
        methods: set[str] = rule.methods or set()
        path = rule.rule.replace("<handle>", "0" * 16)
        if methods & {"GET"} or "<" in path:
            continue
        for method in ("GET", "HEAD"):
            answer = browser.request(method, cluster.url + path, timeout=20)
            assert answer.status_code in {404, 405} or path in {"/cart", "/sessions"}, path
    before = browser.get(f"{cluster.url}/me", timeout=20).json()
    for path in ("/", "/me", "/account", "/sessions", "/visits", "/cart", "/logout", "/sessions/end?all=true"):
        browser.get(cluster.url + path, timeout=20)
        browser.head(cluster.url + path, timeout=20)
        browser.options(cluster.url + path, timeout=20)
    after = browser.get(f"{cluster.url}/me", timeout=20).json()
    assert {name: before[name] for name in ("user", "visits", "cart")} == {
        name: after[name] for name in ("user", "visits", "cart")
    }


def test_6_3_1_guesses_count_on_all_nodes_and_lock_out_nobody_who_was_here_before(cluster: Cluster) -> None:
    known = cluster.log_in("dave")
    device = {"Cookie": f"device={known.cookies['device']}"}
    forged = {"X-Forwarded-For": "203.0.113.1", "X-Real-IP": "203.0.113.2", "Forwarded": "for=203.0.113.3"}
    statuses = []
    for number in range(12):
        headers = {name: f"{value}{number}" for name, value in forged.items()}
        body = credentials("dave", "wrong password")
        answer = requests.post(f"{cluster.url}/login", json=body, headers=headers, timeout=20)
        statuses.append(answer.status_code)
    assert statuses == [401] * 10 + [429] * 2
    assert int(answer.headers["Retry-After"]) > 0
    right = requests.post(f"{cluster.url}/login", json=credentials("dave"), timeout=20)
    assert right.status_code == 429  # or a guess that happens to be right would come through
    back = requests.post(f"{cluster.url}/login", json=credentials("dave"), headers=device, timeout=20)
    assert back.status_code == 200
    assert cluster.users_of(known) == ["dave"] * 3


def test_6_3_2_there_are_no_default_accounts(cluster: Cluster) -> None:
    assert set(read_hashes(cluster.users)) == set(USERS)
    for user, password in (("admin", "admin"), ("root", "root"), ("admin", "password"), ("alice", "alice")):
        answer = requests.post(f"{cluster.url}/login", json=credentials(user, password), timeout=20)
        assert answer.status_code == 401


def test_6_3_8_a_wrong_password_and_an_unknown_user_get_the_same_answer(cluster: Cluster) -> None:
    answers = [
        requests.post(f"{cluster.nodes[0].url}/login", json=credentials(user, "wrong password"), timeout=20)
        for user in ("alice", "nobody", "")
    ]
    for answer in answers:
        for name in ("X-Request-ID", "Date"):
            answer.headers.pop(name, None)
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert answers[0].headers == answers[1].headers == answers[2].headers


def test_11_4_2_passwords_are_kept_as_argon2id(cluster: Cluster) -> None:
    text = cluster.users.read_text()
    assert text.count("$argon2id$v=19$m=19456,t=2,p=1$") == len(USERS)
    assert PASSWORD not in text


def used_and_answered(client: FlaskClient, method: str, path: str) -> tuple[bool, Any]:
    with client:
        answer = client.open(path, method=method)
        session: Any = flask.session
        return session.used, answer


@pytest.mark.parametrize("logged_in", [False, True])
def test_14_3_2_whatever_read_or_set_a_session_is_kept_out_of_every_cache(cluster: Cluster, logged_in: bool) -> None:
    app: Flask = create_app(Settings(node_name="n", secrets=(SECRET,), users_file=cluster.users))
    looked_at = 0
    for rule in app.url_map.iter_rules():
        for method in sorted(rule.methods or ()):
            client = app.test_client()
            if logged_in:
                client.post("/login", json=credentials())
            path = rule.rule.replace("<handle>", "0" * 16).replace("<path:filename>", "style.css")
            used, answer = used_and_answered(client, method, path)
            if used or "Set-Cookie" in answer.headers:
                looked_at += 1
                assert answer.headers["Cache-Control"] == "no-store", (method, path)
                assert "Cookie" in answer.headers["Vary"], (method, path)
            elif path.startswith("/static/"):
                assert "Cookie" not in answer.headers.get("Vary", "")
    assert looked_at >= 15
    page = cluster.log_in().get(f"{cluster.url}/", headers=HTML, timeout=20)  # nginx changes none of it
    assert page.headers["Cache-Control"] == "no-store"
    assert "Cookie" in page.headers["Vary"]


def test_16_2_5_no_log_holds_an_id_a_signature_or_a_password(cluster: Cluster) -> None:
    browser = cluster.log_in()
    cookies = [browser.cookies["session"], browser.cookies["device"]]
    for url in cluster.urls:
        for answer in (
            browser.get(f"{url}/me", timeout=20),
            browser.post(f"{url}/login", json=credentials(password="a wrong password"), timeout=20),
            browser.post(f"{url}/login", data=b"{half", headers={"Content-Type": "application/json"}, timeout=20),
        ):
            assert answer.status_code < 500
    cluster.store.client().set(f"session:{{{cookie.hash_id(id_of(browser))}}}", "damaged", ex=60)
    assert browser.get(f"{cluster.url}/me", timeout=20).json()["user"] is None
    logs = [node.log for node in cluster.nodes] + sorted(cluster.folder.glob("*/*.log"))
    text = "".join(path.read_text(encoding="utf-8", errors="replace") for path in logs)
    assert cookie.hash_id(id_of(browser)) in text
    for secret in [PASSWORD, "a wrong password", SECRET, *(part for each in cookies for part in each.split("."))]:
        assert secret not in text


COMMON = [each for each in FREQUENCY_LISTS["passwords"] if len(each) >= 8]


class Frank:
    """A user whose password changes here, and is afterwards what it was."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.password = PASSWORD
        self.browser = cluster.log_in("frank")

    def change(self, new: str, current: str | None = None) -> int:
        body = {"current": self.password if current is None else current, "new": new}
        status = self.browser.post(f"{self.cluster.url}/password", json=body, timeout=20).status_code
        if status == 204:
            self.password = new
        return status

    def can_enter(self, password: str) -> bool:
        device = {"Cookie": f"device={self.browser.cookies['device']}"}  # what others guess is not counted against it
        body = credentials("frank", password)
        answer = requests.post(f"{self.cluster.url}/login", json=body, headers=device, timeout=20)
        assert answer.status_code in {200, 401}
        return answer.status_code == 200


@pytest.fixture
def frank(cluster: Cluster) -> Iterator[Frank]:
    made = Frank(cluster)
    yield made
    assert made.password == PASSWORD or made.change(PASSWORD) == 204


@pytest.mark.parametrize(("new", "status"), [("", 422), ("kq7 zw", 422), ("kq7 zw9", 422), ("kq7 zw9b", 204)])
def test_6_2_1_a_password_has_8_characters_or_more(frank: Frank, new: str, status: int) -> None:
    assert frank.change(new) == status
    assert frank.can_enter(new) is (status == 204)


def test_6_2_2_and_6_2_3_users_change_only_their_own_password_with_the_old_one(cluster: Cluster, frank: Frank) -> None:
    new = "a password that is new"
    url = f"{cluster.url}/password"
    bob = cluster.log_in("bob")
    for browser, body, status in (
        (requests.Session(), {"current": PASSWORD, "new": new}, 401),
        (frank.browser, {"new": new}, 400),
        (frank.browser, {"current": "", "new": new}, 403),
        (frank.browser, {"current": "not the one so far", "new": new}, 403),
        (bob, {"current": PASSWORD, "new": PASSWORD, "user": "frank"}, 204),  # bob's own, whatever it says beside
    ):
        assert browser.post(url, json=body, timeout=20).status_code == status, body
    assert frank.can_enter(PASSWORD)
    assert cluster.users_of(frank.browser) == ["frank"] * 3
    assert frank.change(new) == 204
    assert (frank.can_enter(new), frank.can_enter(PASSWORD)) == (True, False)


def test_6_2_4_none_of_the_most_frequent_is_taken(frank: Frank) -> None:
    assert len(COMMON) >= 3000
    for new in (COMMON[0], COMMON[1].upper(), COMMON[1500].title(), COMMON[-1]):
        assert frank.change(new) == 422
    answer = frank.browser.post(
        f"{frank.cluster.url}/password", json={"current": PASSWORD, "new": COMMON[7]}, timeout=20
    )
    assert "too common" in answer.json()["error"]
    assert COMMON[7] not in answer.text
    assert frank.can_enter(PASSWORD)


@pytest.mark.parametrize(
    "new", ["lower case only", "UPPER CASE ONLY", "8205117364", "!$%&/()=?*+", "   x   y   ", "密码密码密码密码"]
)
def test_6_2_5_no_kind_of_character_is_demanded_or_forbidden(frank: Frank, new: str) -> None:
    assert frank.change(new) == 204
    assert frank.can_enter(new)


def test_6_2_6_and_6_2_7_passwords_are_masked_and_managers_can_paste(cluster: Cluster, frank: Frank) -> None:
    def page(browser: requests.Session, path: str) -> Page:
        return Page(browser.get(f"{cluster.url}{path}", headers=HTML, timeout=20).text)

    stranger = page(requests.Session(), "/")
    account = page(frank.browser, "/account")
    cluster.age(301)
    token = page(frank.browser, "/sessions").token
    again = Page(
        frank.browser.post(f"{cluster.url}/sessions/end", data={"csrf_token": token}, headers=HTML, timeout=20).text
    )
    asked = {}
    for shown in (stranger, account, again):
        assert shown.scripts == 0  # nothing that could stand between a manager, or a paste, and its field
        names = {str(each["name"]): each for each in shown.inputs}
        secret = {name: each for name, each in names.items() if name in {"password", "current", "new"}}
        asked.update(secret)
        assert {each.get("type") for each in secret.values()} == {"password"}
        assert {each.get("maxlength") for each in secret.values()} == {"1024"}
        assert names["user"]["autocomplete"] == "username"
    kinds = {name: each["autocomplete"] for name, each in asked.items()}
    assert kinds == {"password": "current-password", "current": "current-password", "new": "new-password"}
    assert len(again.inputs) >= 3
    frank.browser.post(f"{cluster.url}/login", json=credentials("frank"), timeout=20)


def test_6_2_8_a_password_is_compared_whole_and_as_it_came(frank: Frank) -> None:
    for new in ("Mixed Case and \u00e9 in it", "x" * 73 + "y", " spaces around "):
        assert frank.change(new) == 204
        others = {
            new[:-1],
            new + " ",
            new.strip(),
            new.swapcase(),
            new.replace("\u00e9", "e\u0301"),
            new + "\0",
            new[:72],
        }
        assert frank.can_enter(new)
        assert not any(frank.can_enter(other) for other in others - {new})


@pytest.mark.parametrize("length", [64, 65, 128, 1024])
def test_6_2_9_a_password_may_have_64_characters_and_more(frank: Frank, length: int) -> None:
    new = ("a long passphrase of many words " * 40)[:length]
    assert frank.change(new) == 204
    assert frank.can_enter(new)
    assert not frank.can_enter(new[:-1])
