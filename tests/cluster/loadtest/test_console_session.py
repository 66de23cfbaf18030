"""The view "Session" of `session-cluster console` in Chromium, on a real cluster: from login to a replayed cookie."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.chromium import opened
from tests.support.commands import running_console

pytestmark = pytest.mark.browser

PATIENCE = 30_000
NODES = ("node-1", "node-2", "node-3")


@pytest.fixture
def page(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    """The view on a cluster without a load."""
    with (
        running_console(tmp_path, "--users", "0") as (_, address),
        opened(browser, address, patience=PATIENCE) as page,
    ):
        page.get_by_role("link", name="Session").click()
        yield page


def step(page: Page, name: str, shown: str) -> None:
    """Press the button of a step, and wait for what its answer means."""
    button = page.get_by_role("button", name=name, exact=True)
    expect(button).to_have_attribute("aria-disabled", "false", timeout=PATIENCE)
    button.click()
    expect(page.locator(".exchanges .meaning").first).to_contain_text(re.compile(shown), timeout=PATIENCE)


def test_a_session_is_followed_and_another_store_is_tried(page: Page) -> None:
    record = page.locator(".record")
    step(page, "Look", "you are nobody")
    step(page, "Log in as alice", "made a session with a new id")
    expect(record).to_contain_text("alice")
    for node in NODES:
        step(page, f"Ask {node}", f"{node} knows you: you are alice")
    step(page, "Put an apple into the cart", "changed the cart")
    expect(record.get_by_role("row", name="cart")).to_contain_text("{'apple': 1}")

    left = [int(re.sub(r"\D", "", record.locator(".ttl").inner_text()))]
    expect(record.locator(".ttl")).not_to_have_text(f"{left[0]:,} s", timeout=PATIENCE)
    assert int(re.sub(r"\D", "", record.locator(".ttl").inner_text())) < left[0], "it counts down"

    assert "••••••••." in record.locator(".cookie code").inner_text()
    page.get_by_role("button", name="Show the id").click()
    expect(record.locator(".cookie code")).to_contain_text(re.compile(r"session=[\w-]{43}\."))

    step(page, "Send a forged cookie", "the signature is wrong")
    expect(record.locator(".cookie code")).to_contain_text("••••••••.")
    step(page, "Log out", "ended the session")
    expect(record).to_contain_text("The session has ended")
    step(page, "Replay the old cookie", "the old cookie is worth nothing")

    step(page, "Log in as alice", "made a session with a new id")
    page.get_by_role("button", name="Try it: a new cluster: Server memory").click()
    expect(record).to_contain_text("a secret that this cluster does not have", timeout=PATIENCE)
    step(page, "Log in as alice", "made a session with a new id")
    expect(record).to_contain_text("be read from outside")
    known = 0
    for node in NODES:
        step(page, f"Ask {node}", f"{node} knows (you|no session)")
        known += page.locator(".exchanges .meaning").first.inner_text().endswith("you are alice.")
    assert known == 1, "in memory, the session is known to the node alone that made it"
