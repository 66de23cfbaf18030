"""Every view of the console has no finding of axe-core, in both languages, light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, expect

from loadtest.claims.claim import Verdict
from tests.support.axe import find_barriers, load_axe
from tests.support.chromium import opened
from tests.support.console import FakeConsole
from tests.support.report_results import Run
from tests.support.scripted_suite import Script, scripted_suite  # noqa: F401 - a fixture

pytestmark = [pytest.mark.browser, pytest.mark.node]


@pytest.fixture(scope="module")
def axe() -> str:
    return load_axe()


@pytest.fixture
def console(tmp_path: Path) -> Iterator[FakeConsole]:
    """A console with answers, failures and losses, and a past run that is not as predicted."""
    Run(verdict=Verdict.BROKEN, lost=2).write(tmp_path)
    with FakeConsole(tmp_path) as console:
        load = console.start_load()
        for name in ("node-1", "node-2"):
            load.feed(console.address_of(name), count=20)
        load.feed(console.address_of("node-2"), status=502)
        load.feed(console.address_of("node-3"), user=None)
        yield console


@pytest.mark.parametrize(("language", "scheme", "width"), [("en-US", "light", 1280), ("ko-KR", "dark", 390)])
def test_no_view_has_a_barrier(
    browser: Browser,
    axe: str,
    console: FakeConsole,
    script: Script,
    language: str,
    scheme: Literal["light", "dark"],
    width: int,
) -> None:
    found = {}
    size = {"width": width, "height": 900}
    with opened(browser, console.address, locale=language, color_scheme=scheme, viewport=size) as page:
        page.locator("#member-node-2 .kill").click()
        page.locator("#member-node-3 .verbs button").nth(1).click()
        expect(page.locator(".member.paused")).to_be_visible()
        found["cluster with faults"] = find_barriers(page, axe)
        page.locator("#member-node-1 .verbs button").last.click()
        expect(page.locator("dialog pre")).to_be_visible()
        found["log of a member"] = find_barriers(page, axe)
        page.keyboard.press("Escape")
        page.locator("nav a").nth(1).click()
        expect(page.locator("main h2").first).to_be_visible()
        found["session"] = find_barriers(page, axe)
        page.locator("nav a").nth(2).click()
        page.locator(".list summary").nth(10).click()
        page.locator(".past button").click()
        page.locator(".result summary").click()
        found["past run"] = find_barriers(page, axe)
        page.locator(".list details[open] button").first.click()
        expect(page.locator(".stages .now")).to_be_visible()
        found["experiment"] = find_barriers(page, axe)
        page.locator("nav a").first.click()
        expect(page.locator(".banner")).to_be_visible()
        found["cluster beside an experiment"] = find_barriers(page, axe)
    assert {what: barriers for what, barriers in found.items() if barriers} == {}
