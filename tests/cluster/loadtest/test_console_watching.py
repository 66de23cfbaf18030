"""The page of a console that can only watch, in Chromium: it shows what it sees, and commands to type."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from deploy import Cluster, ClusterSpec
from tests.support.chromium import opened
from tests.support.console import FakeConsole
from tests.support.engine_names import Engine

pytestmark = pytest.mark.browser


class WatchingConsole(FakeConsole):
    """A console in a container beside two nodes."""

    def __init__(self, folder: Path) -> None:
        self.engine = Engine(1, 2)
        super().__init__(folder)

    def _make(self, spec: ClusterSpec) -> Cluster:
        return self.engine.watch(spec.store)


def test_a_button_shows_the_command_to_type_and_the_page_what_follows(browser: Browser, tmp_path: Path) -> None:
    clipboard = ["clipboard-read", "clipboard-write"]
    with WatchingConsole(tmp_path) as console, opened(browser, console.address, permissions=clipboard) as page:
        expect(page.get_by_role("note")).to_contain_text("This console only watches")
        expect(page.locator(".tour")).to_contain_text("needs the engine")
        expect(page.locator("#member-store")).to_contain_text("not visible from here")
        expect(page.get_by_text("Which server is the primary")).to_be_visible()
        expect(page.get_by_role("link", name="Open the shop")).to_have_attribute("href", "http://127.0.0.1:8080")

        kill = page.get_by_role("button", name="Kill node-2", exact=True)
        expect(kill).to_have_attribute("aria-disabled", "false")
        kill.click()
        dialog = page.get_by_role("dialog", name="Type this in a shell")
        expect(dialog.locator("pre")).to_have_text("docker kill my-shop-node-2")
        dialog.get_by_role("button", name="Copy the command").click()
        expect(dialog).to_contain_text("copied")
        assert page.evaluate("navigator.clipboard.readText()") == "docker kill my-shop-node-2"
        page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)
        page.get_by_role("button", name="Log node-1", exact=True).click()
        expect(page.get_by_role("dialog").locator("pre")).to_have_text("docker logs --tail 40 my-shop-node-1")
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Drain node-1", exact=True).press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("can't drain one")

        console.engine.nodes.add(3)
        console.engine.nodes.discard(2)
        console.engine.silent.add("10.0.0.1:8000")
        expect(page.locator("#member-node-2")).to_contain_text("ended")
        expect(page.locator("#member-node-1")).to_contain_text("does not answer")
        expect(page.locator("#member-node-3")).to_contain_text("running")
        expect(page.get_by_role("button", name="Resume node-1", exact=True)).to_be_visible()
        expect(page.locator(".log")).to_contain_text("node-2 has ended")
