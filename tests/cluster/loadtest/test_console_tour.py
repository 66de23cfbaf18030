"""The guided tour of `session-cluster console` in Chromium, on real clusters: what theory says is what users notice."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.support.commands import running_console

pytestmark = pytest.mark.browser

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
PATIENCE = 60_000
STOPS = 8
TRIED = (3, 5)
"""The numbers of the stops whose clusters are started; the test walks past the others."""


def press(page: Page, name: str) -> None:
    page.locator(".tour").get_by_role("button", name=name, exact=True).click()


def expect_agreement(page: Page, count: int) -> None:
    results = page.locator(".tour .result")
    expect(results).to_have_count(count, timeout=PATIENCE)
    for number in range(count):
        expect(results.nth(number)).to_contain_text("Theory and measurement agree")


def test_the_tour_leads_from_lost_sessions_to_a_shared_store_and_ends(tmp_path: Path) -> None:
    with running_console(tmp_path) as (_, address), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_context(locale="en-US").new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(address)
        press(page, "Start the tour")
        for number in range(1, STOPS + 1):
            expect(page.locator(".tour .position")).to_contain_text(f"{number} of {STOPS}")
            if number in TRIED:
                press(page, "Start this cluster")
                expect_agreement(page, 1)
            if number == 3:
                expect(page.locator(".tour dl")).to_contain_text("about two thirds")
                page.reload()  # the tour stays where it is
                expect_agreement(page, 1)
            if number == 5:
                press(page, "kill node-2")
                expect_agreement(page, 2)
                expect(page.locator("#figure-logged_out b")).to_have_text("0")
            press(page, "Next")
        expect(page.locator(".tour")).to_contain_text("That was the tour")
        press(page, "Leave the tour")
        expect(page.locator(".topology")).to_contain_text("redis", ignore_case=True)
        expect(page.locator("#member-node-2")).to_contain_text("running", timeout=PATIENCE)
        browser.close()
