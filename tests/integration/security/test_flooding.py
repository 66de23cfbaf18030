"""Visitors who bring no cookie, in great numbers: nothing of them is kept, and no store is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any

import pytest
import requests
from werkzeug.test import EnvironBuilder
from werkzeug.wsgi import ClosingIterator

from nodes import Settings, create_app
from nodes.accounts import create_users
from nodes.sessions import SessionOptions
from nodes.sessions.store import Iterable, find_capability
from tests.integration.security.cluster import Cluster
from tests.support.node import PASSWORD, SECRET
from tests.support.valkey import monitored

HTML = [("Accept", "text/html")]
FLOOD = 100_000
PAGES = ("/", "/account", "/sessions", "/live", "/nothing")


@pytest.mark.timeout(900)
def test_flooding_with_100_000_requests_without_a_cookie_leaves_no_key(tmp_path: Path) -> None:
    """In process and without a client, which would take longer than the application."""
    create_users(tmp_path / "users.json", ["alice"], PASSWORD)
    app = create_app(Settings(node_name="n", secrets=(SECRET,), users_file=tmp_path / "users.json"))
    sessions = find_capability(app.extensions["store"], Iterable)
    environs = [EnvironBuilder(path=path, headers=HTML).get_environ() for path in ("/me", *PAGES)]
    cookies: list[str] = []
    answered: Counter[str] = Counter()

    def start_response(status: str, headers: list[tuple[str, str]], _error: Any = None) -> Callable[[bytes], object]:
        answered[status[:3]] += 1
        cookies.extend(value for name, value in headers if name.lower() == "set-cookie")
        return lambda _data: None

    for number in range(FLOOD):
        # Every hundredth is for a page, whose template takes far longer than all else.
        environ = environs[number // 100 % len(environs)] if number % 100 == 0 else environs[0]
        for _ in ClosingIterator(app(dict(environ), start_response)):
            pass
    assert sum(answered.values()) == FLOOD
    assert set(answered) == {"200", "401", "404"}
    assert sessions is not None
    assert (cookies, sessions.count()) == ([], 0)


def test_flooding_real_nodes_leaves_no_key_in_the_store(cluster: Cluster) -> None:
    assert SessionOptions(secrets=(SECRET,)).save_uninitialized is False
    assert Settings(node_name="n", secrets=(SECRET,), users_file=Path("users")).save_uninitialized is False
    client: Any = cluster.store.client()
    before = client.dbsize()

    def flood(url: str) -> int:
        with requests.Session() as stranger:
            stranger.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
            answers = [stranger.get(f"{url}{path}", timeout=20) for path in ("/me",) * 300 + PAGES * 10]
        assert not any("Set-Cookie" in answer.headers for answer in answers)
        return len(answers)

    with ThreadPoolExecutor(3) as pool, monitored(cluster.store) as commands:
        assert sum(pool.map(flood, cluster.urls)) == 1050
    assert client.dbsize() == before
    assert commands == []
