"""OWASP ASVS 5.0 on nodes behind nginx: what takes several nodes, the proxy or TLS. docs/security.md has the rest."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from nodes.sessions import cookie
from tests.cluster.security.cluster import NOBODY, Cluster, credentials, id_of, signed
from tests.support.http_client import HttpClient
from tests.support.node import PASSWORD, SECRET
from tests.support.node_app import HTML, ParsedPage
from tests.support.valkey import monitored


def test_7_2_1_a_token_is_checked_by_every_node_and_forged_ones_ask_no_store(cluster: Cluster) -> None:
    browser = cluster.log_in()
    genuine, session_id = browser.cookies["session"], id_of(browser)
    assert cluster.users_of(genuine) == ["alice"] * 3
    flipped = ("B" if genuine[0] == "A" else "A") + genuine[1:]
    wrong_secret = cookie.SignedCookie().sign(session_id, b"another secret of more than thirty-two bytes")
    with monitored(cluster.store) as commands:
        for forged in (
            *(flipped, wrong_secret, session_id, genuine[:-1], genuine + "A", genuine.lower(), f'"{genuine}"'),
            *("", "x" * 7000, genuine * 60, "A" * 43 + "." + "A" * 43),
        ):
            assert cluster.users_of(forged) == NOBODY, forged
    assert commands == []
    assert cluster.users_of(signed("A" * 43)) == NOBODY
    for url in cluster.urls:  # an id is a cookie's value, and nothing else
        stranger = HttpClient(url, {"X-Session": genuine})
        for path in (f"/me?session={genuine}", f"/me;session={genuine}"):
            answer = stranger.get(path)
            assert answer.status_code == 404 or answer.json()["user"] is None
        body = {"session": genuine, "item": "apple", "quantity": 1}
        assert stranger.post("/cart", json=body).cookies["session"] != genuine
    assert cluster.users_of(genuine) == ["alice"] * 3


def test_7_2_4_a_login_gives_a_new_token_and_the_old_one_dies_on_every_node(cluster: Cluster) -> None:
    browser = cluster.client()
    browser.post("/visits", json={})
    seen = [browser.cookies["session"]]
    for _ in range(2):  # the second is a re-authentication
        browser.post("/login", json=credentials())
        seen.append(browser.cookies["session"])
    assert len({value.partition(".")[0] for value in seen}) == 3
    assert [cluster.users_of(value) for value in seen] == [NOBODY, NOBODY, ["alice"] * 3]
    for url in cluster.urls:
        assert HttpClient(url, {"Cookie": f"session={seen[0]}"}).get("/me").json()["visits"] == 0
    assert browser.get("/me").json()["visits"] == 1


def test_7_2_4_no_token_that_a_client_chose_is_adopted(cluster: Cluster) -> None:
    chosen = "C" * 43
    for value in (chosen, signed(chosen)):
        for url in cluster.urls:
            for path, body in (("/visits", {}), ("/login", credentials())):
                answer = HttpClient(url, {"Cookie": f"session={value}"}).post(path, json=body)
                assert chosen not in answer.headers.get("Set-Cookie", "")
        assert cluster.users_of(value) == NOBODY
    assert cookie.hash_id(chosen) not in cluster.stored()


@pytest.mark.parametrize(("uses", "pause", "last"), [(2, 1200, 1801), (28, 1000, 801)], ids=["idle", "absolute"])
def test_7_3_1_and_7_3_2_a_session_ends_after_both_timeouts(cluster: Cluster, uses: int, pause: int, last: int) -> None:
    browser = cluster.log_in()
    for _ in range(uses):
        cluster.age(pause)
        assert cluster.users_of(browser) == ["alice"] * 3
    cluster.age(last)
    assert cluster.users_of(browser) == NOBODY


def test_7_4_1_a_logout_holds_on_every_node_and_no_save_in_flight_revives_it(cluster: Cluster) -> None:
    browser = cluster.log_in()
    value = browser.cookies["session"]

    def visit(number: int) -> int:
        client = HttpClient(cluster.urls[number % 3], {"Cookie": f"session={value}"})
        return client.post("/visits", json={}).status_code

    with ThreadPoolExecutor(8) as pool:
        visits = [pool.submit(visit, number) for number in range(48)]
        answer = browser.post("/logout", json={})
        statuses = {each.result() for each in visits}
    assert answer.status_code == 204
    assert "Max-Age=0" in answer.headers["Set-Cookie"]
    assert statuses <= {200, 409}
    assert cluster.users_of(value) == NOBODY
    assert cookie.hash_id(value.partition(".")[0]) not in cluster.stored()


def attributes(header: str) -> dict[str, str]:
    """The attributes of a Set-Cookie header, in lower case."""
    parts = [part.strip().partition("=") for part in header.split(";")[1:]]
    return {name.lower(): value.lower() for name, _, value in parts}


@pytest.mark.parametrize("tls", [True, False])
def test_3_3_1_to_3_3_4_every_cookie_is_bound_to_the_host_and_unseen_by_scripts(cluster: Cluster, tls: bool) -> None:
    browser = HttpClient(cluster.tls.url) if tls else cluster.client()
    bodies: dict[str, dict[str, str]] = {"/visits": {}, "/login": credentials(), "/logout": {}}
    answers = [browser.post(path, json=body, verify=str(cluster.tls.authority)) for path, body in bodies.items()]
    headers = [header for answer in answers for header in answer.raw.headers.getlist("Set-Cookie")]
    prefix = "__Host-" if tls else ""
    assert sorted(header.partition("=")[0].removeprefix(prefix) for header in headers) == ["device", *["session"] * 3]
    for header in headers:
        found = attributes(header)
        assert header.startswith("__Host-") is tls
        assert ("secure" in found, "httponly" in found, found["samesite"]) == (tls, True, "lax"), header
        assert (found["path"], found.get("domain")) == ("/", None), header
    assert attributes(headers[-1])["max-age"] == "0"  # the deletion, which would be ignored without the prefix's rules


def test_3_3_1_to_3_3_4_the_id_is_in_no_body_and_no_address(cluster: Cluster) -> None:
    browser = cluster.log_in()
    for path in ("/", "/me", "/account", "/sessions", "/metrics", "/nothing"):
        answer = browser.get(path, headers=HTML)
        assert id_of(browser) not in answer.text + answer.url + json.dumps(dict(answer.headers))


def test_3_5_1_the_proxys_origin_alone_may_send_forms(cluster: Cluster) -> None:
    browser = cluster.log_in("bob")
    for headers in (
        *({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "same-site"}),
        {"Origin": cluster.nodes[0].url},  # the node's own port is another origin than the proxy's
    ):
        for path in ("/logout", "/visits", "/password", "/sessions/end", "/cart/empty"):
            assert browser.post(path, json={}, headers=headers).status_code == 403, (headers, path)
    stolen, mine = (ParsedPage(each.get("/", headers=HTML).text).token for each in (cluster.log_in(), browser))
    own = {**HTML, "Origin": cluster.url, "Sec-Fetch-Site": "same-origin"}
    for token, status in ((stolen, 403), ("x", 403), (mine, 303)):
        answer = browser.post("/visits", data={"csrf_token": token}, headers=own, allow_redirects=False)
        assert answer.status_code == status
    assert browser.get("/me").json()["visits"] == 1


def test_6_3_1_guesses_count_on_all_nodes_and_lock_out_no_known_browser(cluster: Cluster) -> None:
    known = cluster.log_in("dave")
    device = {"Cookie": f"device={known.cookies['device']}"}
    forged = {"X-Forwarded-For": "203.0.113.1", "X-Real-IP": "203.0.113.2", "Forwarded": "for=203.0.113.3"}
    answers = []
    for number in range(12):
        stranger = cluster.client(**{name: f"{value}{number}" for name, value in forged.items()})
        answers.append(stranger.post("/login", json=credentials("dave", "wrong password")))
    assert [answer.status_code for answer in answers] == [401] * 10 + [429] * 2
    assert int(answers[-1].headers["Retry-After"]) > 0
    assert cluster.client().post("/login", json=credentials("dave")).status_code == 429  # the right password too
    assert cluster.client(**device).post("/login", json=credentials("dave")).status_code == 200
    assert cluster.users_of(known) == ["dave"] * 3


def test_16_2_5_no_log_holds_an_id_a_signature_or_a_password(cluster: Cluster) -> None:
    browser = cluster.log_in()
    cookies = [browser.cookies["session"], browser.cookies["device"]]
    wrong = "a wrong password"
    for url in cluster.urls:
        browser.get(f"{url}/me/{cookies[0]}?session={cookies[0]}&password={PASSWORD}")
    for url in cluster.urls:
        for answer in (
            browser.post(f"{url}/login", json=credentials(password=wrong)),
            browser.post(f"{url}/login", data=credentials(password=wrong), headers=HTML),
            browser.post(f"{url}/login", json={"user": wrong}),
            browser.post(f"{url}/login", data=b"{half", headers={"Content-Type": "application/json"}),
        ):
            assert answer.status_code < 500
    cluster.store.client().set(f"session:{{{cookie.hash_id(id_of(browser))}}}", "damaged", ex=60)
    assert browser.get("/me").json()["user"] is None
    logs = [node.log for node in cluster.nodes] + sorted(cluster.folder.glob("*/*.log"))
    text = "".join(path.read_text(encoding="utf-8", errors="replace") for path in logs)
    assert cookie.hash_id(id_of(browser)) in text
    for secret in [PASSWORD, wrong, SECRET, *(part for each in cookies for part in each.split("."))]:
        assert secret not in text
