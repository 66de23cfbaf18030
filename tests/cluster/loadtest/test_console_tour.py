"""The guided tour of `session-cluster console` in Chromium, from start to end, on real clusters with real users."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.chromium import opened
from tests.support.commands import running_console
from tests.support.tour import STOPS, press

pytestmark = [pytest.mark.browser, pytest.mark.nightly, pytest.mark.timeout(900)]
# It takes five minutes. In the cluster tier, test_console_tour_page.py leads through all stops with scripted figures.

PATIENCE = 90_000


def measure(page: Page, commands: tuple[str, ...]) -> list[str]:
    """Start the stop's cluster and give its commands; return the results."""
    press(page, "Start this cluster")
    results = page.locator(".tour .result")
    for done, command in enumerate(commands, 1):
        expect(results).to_have_count(done, timeout=PATIENCE)
        press(page, command)
    expect(results).to_have_count(len(commands) + 1, timeout=PATIENCE)
    return [text.replace("\n", " ") for text in results.all_inner_texts()]


def agrees(result: str) -> bool:
    return "Theory and measurement agree" in result


def test_the_tour_on_real_clusters_measures_what_theory_says_at_each_stop(browser: Browser, tmp_path: Path) -> None:
    with running_console(tmp_path) as (_, address), opened(browser, address, patience=PATIENCE) as page:
        expect(page.locator("#member-node-3")).to_contain_text("p50", timeout=PATIENCE)
        press(page, "Start the tour")
        for number, (title, commands) in enumerate(STOPS, 1):
            began = time.monotonic()
            expect(page.locator(".tour .position")).to_contain_text(f"{number} of {len(STOPS)}")
            expect(page.locator(".tour h2")).to_have_text(title)
            results = measure(page, commands)
            print(f"{title}: {time.monotonic() - began:.0f} s; {' / '.join(results)}")
            if not all(map(agrees, results)) and number > 1:  # a machine that was busy for a moment: once more
                press(page, "Back")
                press(page, "Next")
                results = measure(page, commands)
            assert all(map(agrees, results)), results
            press(page, "Next")
        expect(page.locator(".tour li.holds")).to_have_count(len(STOPS))
        press(page, "Leave the tour")
        expect(page.locator(".log ol")).to_contain_text("back to the console's own", timeout=PATIENCE)
        expect(page.locator("#member-node-3")).to_contain_text("p50", timeout=PATIENCE)
