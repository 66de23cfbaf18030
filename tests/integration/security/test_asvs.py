"""OWASP ASVS 5.0, chapter 7, on nodes behind nginx: each test is named after what it holds."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest
import requests
from click.testing import CliRunner

from nodes import Settings, admin, create_app
from nodes.sessions import SessionOptions, cookie
from tests.integration.security.cluster import HTML, NOBODY, Cluster, Page, credentials, id_of, signed
from tests.support.node import PASSWORD, PATIENT, SECRET, RunningNode, environment


def test_7_1_2_the_cap_on_sessions_is_none_unless_set_and_then_holds(cluster: Cluster, tmp_path: Path) -> None:
    assert SessionOptions(secrets=(SECRET,)).max_sessions is None
    settings = {"SESSION_STORE": "redis", "REDIS_URL": cluster.store.url, "SESSION_MAX_PER_USER": "2"}
    uncapped = [cluster.log_in("bob") for _ in range(3)]
    assert [cluster.users_of(browser)[0] for browser in uncapped] == ["bob"] * 3
    with RunningNode(cluster.users, tmp_path / "log", **settings) as node:
        fourth = node.log_in("bob")
        alive = [browser for browser in [*uncapped, fourth] if cluster.users_of(browser)[0] == "bob"]
    assert alive == [uncapped[2], fourth]


def test_7_2_1_a_token_is_checked_by_every_node_and_through_the_proxy(cluster: Cluster) -> None:
    browser = cluster.log_in()
    genuine = browser.cookies["session"]
    assert cluster.users_of(genuine) == ["alice"] * 3
    flipped = ("B" if genuine[0] == "A" else "A") + genuine[1:]
    unsigned = id_of(browser)
    wrong_secret = cookie.sign(unsigned, b"another secret of more than thirty-two bytes")
    unknown = signed("A" * 43)
    for forged in (flipped, genuine[:-1], unsigned, wrong_secret, unknown, genuine + "A", genuine.lower(), ""):
        assert cluster.users_of(forged) == NOBODY, forged
    for url in cluster.urls:  # an id is a cookie's value, and nothing else
        for where in (f"/me?session={genuine}", f"/me;session={genuine}"):
            answer = requests.get(url + where, headers={"X-Session": genuine}, timeout=20)
            assert answer.status_code == 404 or answer.json()["user"] is None
        body = {"session": genuine, "item": "apple", "quantity": 1}
        assert requests.post(f"{url}/cart", json=body, timeout=20).cookies["session"] != genuine
    assert cluster.users_of(genuine) == ["alice"] * 3


def test_7_2_2_and_7_2_3_tokens_are_256_random_bits(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr("secrets.token_urlsafe", lambda size: asked.append(size) or "x" * 43)
    options = SessionOptions(secrets=(SECRET,))
    assert (options.generate_id(), asked) == ("x" * 43, [32])
    ids = [
        requests.post(f"{cluster.urls[number % 3]}/visits", json={}, timeout=20).cookies["session"].partition(".")[0]
        for number in range(60)
    ]
    assert len(set(ids)) == 60
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", each) for each in ids)


def test_7_2_4_a_login_gives_a_new_token_and_the_old_one_dies_on_every_node(cluster: Cluster) -> None:
    browser = requests.Session()
    browser.post(f"{cluster.url}/visits", json={}, timeout=20)
    visitor = browser.cookies["session"]
    seen = [visitor]
    for _ in range(2):  # the second is a re-authentication
        browser.post(f"{cluster.url}/login", json=credentials(), timeout=20)
        seen.append(browser.cookies["session"])
    assert len({value.partition(".")[0] for value in seen}) == 3
    assert [cluster.users_of(value) for value in seen] == [NOBODY, NOBODY, ["alice"] * 3]
    for url in cluster.urls:
        replayed = requests.get(f"{url}/me", headers={"Cookie": f"session={visitor}"}, timeout=20).json()
        assert (replayed["user"], replayed["visits"]) == (None, 0)
    assert browser.get(f"{cluster.url}/me", timeout=20).json()["visits"] == 1


def test_7_2_4_no_token_of_a_client_s_own_choosing_is_adopted(cluster: Cluster) -> None:
    chosen = "C" * 43
    for value in (chosen, signed(chosen)):
        for url in cluster.urls:
            header = {"Cookie": f"session={value}"}
            made = requests.post(f"{url}/visits", json={}, headers=header, timeout=20).cookies["session"]
            assert not made.startswith(chosen)
            logged_in = requests.post(f"{url}/login", json=credentials(), headers=header, timeout=20)
            assert not logged_in.cookies["session"].startswith(chosen)
        assert cluster.users_of(value) == NOBODY
    assert cookie.hash_id(chosen) not in cluster.stored()


def test_7_3_1_a_session_that_is_not_used_ends(cluster: Cluster) -> None:
    browser = cluster.log_in()
    cluster.age(1200)
    assert cluster.users_of(browser) == ["alice"] * 3
    cluster.age(1200)
    assert cluster.users_of(browser) == ["alice"] * 3
    cluster.age(1801)
    assert cluster.users_of(browser) == NOBODY


def test_7_3_2_constant_use_ends_at_the_absolute_timeout(cluster: Cluster) -> None:
    browser = cluster.log_in()
    for _ in range(28):
        cluster.age(1000)
        assert cluster.users_of(browser) == ["alice"] * 3
    cluster.age(801)
    assert cluster.users_of(browser) == NOBODY


def test_7_4_1_a_logout_holds_on_every_node_and_no_save_in_flight_revives_it(cluster: Cluster) -> None:
    browser = cluster.log_in()
    value = browser.cookies["session"]

    def visit(number: int) -> int:
        headers = {"Cookie": f"session={value}"}
        return requests.post(f"{cluster.urls[number % 3]}/visits", json={}, headers=headers, timeout=20).status_code

    with ThreadPoolExecutor(8) as pool:
        visits = [pool.submit(visit, number) for number in range(48)]
        answer = browser.post(f"{cluster.url}/logout", json={}, timeout=20)
        statuses = {each.result() for each in visits}
    assert answer.status_code == 204
    assert "Max-Age=0" in answer.headers["Set-Cookie"]
    assert statuses <= {200, 409}
    assert cluster.users_of(value) == NOBODY
    assert cookie.hash_id(value.partition(".")[0]) not in cluster.stored()


def run_admin(cluster: Cluster, *words: str) -> str:
    settings = environment(cluster.users, SESSION_STORE="redis", REDIS_URL=cluster.store.url, **PATIENT)
    result = CliRunner().invoke(admin.main, words, env=dict(settings))
    assert result.exit_code == 0, result.output
    return result.output


def test_7_4_2_disabling_a_user_ends_all_their_sessions(cluster: Cluster) -> None:
    browsers = [cluster.log_in("erin"), cluster.log_in("erin")]
    bob = cluster.log_in("bob")
    run_admin(cluster, "disable", "erin")
    assert [cluster.users_of(browser) for browser in browsers] == [NOBODY, NOBODY]
    for url in cluster.urls:
        assert requests.post(f"{url}/login", json=credentials("erin"), timeout=20).status_code == 401
    assert cluster.users_of(bob) == ["bob"] * 3


def test_7_4_3_a_password_change_ends_the_other_sessions_on_every_node(cluster: Cluster) -> None:
    mine, other, bob = cluster.log_in("carol"), cluster.log_in("carol"), cluster.log_in("bob")
    before = mine.cookies["session"]
    body = {"current": PASSWORD, "new": "a new and longer password"}
    assert mine.post(f"{cluster.url}/password", json=body, timeout=20).status_code == 204
    assert [cluster.users_of(each) for each in (other, before)] == [NOBODY, NOBODY]
    assert [cluster.users_of(each) for each in (mine, bob)] == [["carol"] * 3, ["bob"] * 3]
    for url in cluster.urls:
        assert requests.post(f"{url}/login", json=credentials("carol"), timeout=20).status_code == 401
        answer = requests.post(f"{url}/login", json=credentials("carol", body["new"]), timeout=20)
        assert answer.status_code == 200


def test_7_4_5_an_administrator_ends_those_of_one_user_or_all(cluster: Cluster) -> None:
    alice, bob = cluster.log_in(), cluster.log_in("bob")
    assert "sessions ended" in run_admin(cluster, "end", "--user", "alice")
    assert [cluster.users_of(each) for each in (alice, bob)] == [NOBODY, ["bob"] * 3]
    run_admin(cluster, "end", "--all")
    assert cluster.users_of(bob) == NOBODY


def test_7_5_1_and_7_5_3_what_is_sensitive_needs_the_password_again(cluster: Cluster) -> None:
    mine, other = cluster.log_in("bob"), cluster.log_in("bob")
    cluster.age(301)
    body = {"current": PASSWORD, "new": "a new and longer password"}
    handle = mine.get(f"{cluster.url}/sessions", timeout=20).json()["sessions"][0]["handle"]
    for url in cluster.urls:
        for answer in (
            mine.post(f"{url}/password", json=body, timeout=20),
            mine.delete(f"{url}/sessions", timeout=20),
            mine.delete(f"{url}/sessions/{handle}", timeout=20),
        ):
            assert (answer.status_code, answer.json()["login"]) == (401, "again")
    assert cluster.users_of(other) == ["bob"] * 3
    mine.post(f"{cluster.url}/login", json=credentials("bob"), timeout=20)
    assert mine.delete(f"{cluster.url}/sessions", timeout=20).status_code == 200
    assert cluster.users_of(other) == NOBODY


def test_7_5_2_a_user_sees_and_ends_their_sessions_and_no_one_else_s(cluster: Cluster) -> None:
    mine, other, bob = cluster.log_in(), cluster.log_in(), cluster.log_in("bob")
    for url in cluster.urls:
        for accept in ("application/json", "text/html"):
            listed = mine.get(f"{url}/sessions", headers={"Accept": accept}, timeout=20).text
            assert not any(id_of(browser) in listed for browser in (mine, other, bob))
    handle = cookie.hash_id(id_of(other))[:16]
    assert bob.delete(f"{cluster.url}/sessions/{handle}", timeout=20).status_code == 404
    assert cluster.users_of(other) == ["alice"] * 3
    assert mine.delete(f"{cluster.url}/sessions/{handle}", timeout=20).status_code == 204
    assert [cluster.users_of(each) for each in (mine, other, bob)] == [["alice"] * 3, NOBODY, ["bob"] * 3]


def test_7_6_2_nobody_gets_a_session_by_looking(cluster: Cluster) -> None:
    before = cluster.stored()
    for url in cluster.urls:
        for path in ("/", "/me", "/account", "/sessions", "/live", "/ready", "/nothing"):
            for accept in ("application/json", "text/html"):
                answer = requests.get(url + path, headers={"Accept": accept}, timeout=20)
                assert "Set-Cookie" not in answer.headers, path
    assert cluster.stored() == before


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
