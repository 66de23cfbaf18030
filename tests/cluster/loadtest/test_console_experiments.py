"""An experiment from the page of `session-cluster console`, on real clusters: to its verdict, and stopped."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Browser, Page, expect

from loadtest.claims.claim import Verdict
from loadtest.results import read_results
from tests.support.chromium import opened
from tests.support.commands import running_console
from tests.support.waiting import lives, wait_until

pytestmark = pytest.mark.browser

PATIENCE = 90_000
TITLE = "kill a node, shared store"


@pytest.fixture
def console(browser: Browser, tmp_path: Path) -> Iterator[tuple[Page, psutil.Process]]:
    with (
        running_console(tmp_path) as (process, address),
        opened(browser, address, patience=PATIENCE, ignored=["net::ERR_"]) as page,
    ):
        expect(page.locator("#member-node-3")).to_contain_text("p50", timeout=PATIENCE)
        page.get_by_role("link", name="Experiments").click()
        yield page, psutil.Process(process.pid)


def start(page: Page) -> None:
    one = page.locator(".list details").filter(has=page.get_by_text(TITLE, exact=True))
    one.locator("summary").click()
    one.get_by_role("button", name=f"Run: {TITLE}").click()
    expect(page.locator(".stages .now")).to_contain_text("watch", timeout=PATIENCE)


def test_an_experiment_runs_beside_the_cluster_and_has_its_verdict(
    console: tuple[Page, psutil.Process], tmp_path: Path
) -> None:
    page, _ = console
    start(page)
    expect(page.locator(".members .ended")).to_contain_text("node-2", timeout=PATIENCE)
    lost = page.locator(".claims li").filter(has_text="no session, update or logout is lost")
    expect(lost).to_contain_text("so far, yes", timeout=PATIENCE)
    page.get_by_role("link", name="Cluster", exact=True).click()
    expect(page.locator(".browser")).to_contain_text("users pause during the experiment")
    expect(page.locator("#member-node-2")).to_contain_text("running")
    page.get_by_role("link", name="Experiments").first.click()
    expect(page.locator(".result h3")).to_contain_text(TITLE, timeout=PATIENCE)
    (result,) = read_results(tmp_path / "out").results
    words = {Verdict.HOLDS: "✓ as predicted", Verdict.NOT_ENOUGH_DATA: "? too little data"}
    expect(page.locator(".result .verdict").first).to_have_text(words[result.verdict])
    page.get_by_role("link", name="Cluster", exact=True).click()
    expect(page.locator("#member-node-2")).to_contain_text("p50", timeout=PATIENCE)
    expect(page.locator("#figure-logged_out b")).to_have_text("0")


@pytest.mark.nightly
def test_a_stopped_experiment_ends_its_processes_and_the_users_come_back(
    console: tuple[Page, psutil.Process], tmp_path: Path
) -> None:
    page, process = console
    own = {child.pid for child in process.children(recursive=True)}
    start(page)
    others = [child.pid for child in process.children(recursive=True) if child.pid not in own]
    assert len(others) > 5
    page.get_by_role("button", name="Stop the experiment").click()
    expect(page.locator(".run .state")).to_contain_text("stopped, without a result", timeout=PATIENCE)
    page.get_by_role("link", name="Cluster", exact=True).click()
    expect(page.locator("#member-node-3")).to_contain_text("p50", timeout=PATIENCE)
    wait_until(lambda: not lives(*others), "the processes of the experiment have ended", 30)
    assert read_results(tmp_path / "out").results == ()


@pytest.mark.nightly
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_signal_during_an_experiment_ends_everything(
    console: tuple[Page, psutil.Process], number: signal.Signals
) -> None:
    page, process = console
    own = {child.pid for child in process.children(recursive=True)}
    start(page)
    pids = {child.pid for child in process.children(recursive=True)} | own
    assert len(pids - own) > 5
    process.send_signal(number)
    wait_until(lambda: not lives(process.pid, *pids), "the console, both clusters and the users have ended", 60)
