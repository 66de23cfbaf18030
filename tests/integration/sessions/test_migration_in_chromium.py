"""A real browser keeps its user through the change of the session layer, and drops the old cookie."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
import trustme
from playwright.sync_api import Browser, BrowserContext
from werkzeug.serving import make_server

from nodes.sessions import RedisStore
from tests.integration.sessions.test_migration import Old
from tests.support.valkey import Valkey

pytestmark = pytest.mark.browser


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(ignore_https_errors=True)
    yield context
    context.close()


@contextmanager
def serving(application: Callable[..., Any], certificate: tuple[str, str] | None) -> Iterator[str]:
    """Serve over plain HTTP, or over TLS with a certificate and its key."""
    server = make_server("127.0.0.1", 0, application, threaded=True, ssl_context=certificate)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http{'s' if certificate else ''}://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[str, str]:
    made = trustme.CA().issue_cert("127.0.0.1")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
    made.private_key_pem.write_to_path(key)
    return str(chain), str(key)


@pytest.mark.parametrize("layer", ["cookie", "redis"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_browser_keeps_its_user_and_drops_the_old_cookie(
    layer: str, scheme: str, server: Valkey, client: Any, tmp_path: Path, context: BrowserContext, certificate: Any
) -> None:
    old = Old(layer, server, tmp_path)
    is_secure: dict[str, Any] = {"SESSION_COOKIE_SECURE": scheme == "https"}
    served = [old.app(**is_secure)]
    page = context.new_page()

    def user() -> Any:
        return page.request.get(f"{url}/me").json()["user"]

    def names() -> list[str]:
        return [cookie["name"] for cookie in context.cookies()]

    with (
        closing(RedisStore.from_client(redis.Redis(port=server.port))) as store,
        serving(lambda *request: served[0](*request), certificate if scheme == "https" else None) as url,
    ):
        page.request.post(f"{url}/login/alice")
        assert user() == "alice"
        assert names() == ["session"]
        before: Any = context.cookies()
        served[0] = old.new_app(store, **is_secure)
        page.goto(f"{url}/me")
        assert '"alice"' in page.content()
        assert names() == ["__Host-session" if scheme == "https" else "session"]
        assert user() == "alice"
        page.request.post(f"{url}/logout")
        assert names() == []
        assert user() is None
        context.add_cookies(before)
        assert user() is None
