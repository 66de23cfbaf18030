"""`session-cluster console` on a real cluster, used from Chromium: what is broken on the page is what users notice."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from playwright.sync_api import Browser, Page, expect

from loadtest.checker import check
from loadtest.history import read
from tests.support.chromium import opened
from tests.support.commands import interrupt_command, running_console
from tests.support.waiting import lives, wait_until

pytestmark = pytest.mark.browser

PATIENCE = 30_000
IGNORED = ("status of 4", "status of 5", "net::ERR_")
"""What the browser says of answers and connections that a test breaks."""


def state(page: Page) -> dict[str, Any]:
    snapshot: dict[str, Any] = page.evaluate("fetch('state').then((answer) => answer.json())")
    return snapshot


def figures(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = state(page)["figures"] or {"operations": 0}
    return found


def wait_for_requests(page: Page, count: int) -> None:
    """Block until so many more requests have been answered or have failed."""
    before = figures(page)["operations"]
    wait_until(lambda: figures(page)["operations"] >= before + count, f"{count} more requests", 40)


def final_figures(page: Page) -> dict[str, Any]:
    """Let all users go, and return the figures when they change no more."""
    for _ in range(9):
        page.get_by_role("button", name="사용자 하나 줄이기").click()
        if state(page)["load"]["users"] == 0:
            break
        page.wait_for_timeout(300)
    expect(page.locator("#figure-requests")).to_contain_text("부하 없음", timeout=PATIENCE)
    seen: list[dict[str, Any]] = []

    def is_still() -> bool:
        page.wait_for_timeout(1500)
        seen.append(figures(page))
        return len(seen) > 2 and [one["operations"] for one in seen[-3:]] == [seen[-1]["operations"]] * 3

    wait_until(is_still, "no user sends requests", 40)
    return seen[-1]


@pytest.fixture(scope="module")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a console of a cluster with sessions in Redis, for tests that undo what they do."""
    with running_console(tmp_path_factory.mktemp("console")) as (_, address):
        yield address


@pytest.fixture
def page(browser: Browser, shared_store: str) -> Iterator[Page]:
    with opened(browser, shared_store, patience=PATIENCE, ignored=IGNORED) as page:
        expect(page.locator("#member-node-3")).to_contain_text("p50", timeout=PATIENCE)  # the load has arrived
        yield page
        undo = page.get_by_role("button", name="Undo all faults", exact=True)
        if undo.get_attribute("aria-disabled") == "false":
            undo.click()
        wait_until(lambda: all(one["state"] == "running" for one in state(page)["members"]), "nothing is broken", 40)


def test_with_a_shared_store_a_killed_node_logs_nobody_out(page: Page) -> None:
    page.get_by_role("button", name="Kill node-2", exact=True).click()
    expect(page.locator("#member-node-2")).to_contain_text("ended", timeout=PATIENCE)
    wait_for_requests(page, 100)
    assert figures(page)["users_logged_out"] == 0
    expect(page.locator("#figure-logged_out b")).to_have_text("0")
    page.get_by_role("button", name="Undo all faults", exact=True).click()
    expect(page.locator("#member-node-2")).to_contain_text("running", timeout=PATIENCE)
    expect(page.locator("#member-node-2")).to_contain_text("p50", timeout=PATIENCE)


def test_a_paused_store_makes_nodes_that_are_alive_answer_with_errors_and_logs_nobody_out(page: Page) -> None:
    page.get_by_role("button", name="Pause store", exact=True).click()
    expect(page.locator("#member-store")).to_contain_text("paused", timeout=PATIENCE)
    expect(page.locator("#member-node-1")).to_contain_text("answers with errors", timeout=PATIENCE)
    assert page.get_by_role("button", name="Restart node-1").get_attribute("title") == (
        "store does not run: undo that first"
    )
    page.reload()  # the page opens while the store is silent
    expect(page.locator("#member-store")).to_contain_text("paused", timeout=PATIENCE)
    page.get_by_role("button", name="Undo all faults", exact=True).click()
    expect(page.locator("#member-node-1")).to_contain_text("running", timeout=PATIENCE)
    found = figures(page)
    assert found["failed"] > 0
    assert found["users_logged_out"] == 0
    assert found["gap"] >= 1


def test_one_button_undoes_several_faults_at_once(page: Page) -> None:
    page.get_by_role("radio", name="cut").click()
    expect(page.get_by_role("radio", name="✓ cut")).to_be_visible()
    page.get_by_role("button", name="Kill node-1", exact=True).click()
    page.get_by_role("button", name="Pause node-3", exact=True).click()
    expect(page.locator("#member-node-3")).to_contain_text("paused", timeout=PATIENCE)
    page.get_by_role("button", name="Undo all faults", exact=True).click()
    for node in ("node-1", "node-2", "node-3"):
        expect(page.locator(f"#member-{node}")).to_contain_text("p50", timeout=PATIENCE)
    expect(page.get_by_role("radio", name="✓ ok")).to_be_visible()
    assert figures(page)["users_logged_out"] == 0


def test_nodes_are_drained_added_and_removed_without_a_failed_request(page: Page) -> None:
    wait_for_requests(page, 30)  # until the failures of the test before have been counted
    failed = figures(page)["failed"]
    page.get_by_role("button", name="Drain node-1", exact=True).click()
    expect(page.locator("#member-node-1")).to_contain_text("drained", timeout=PATIENCE)
    page.get_by_role("button", name="More: nodes").click()
    expect(page.locator("#member-node-4")).to_contain_text("p50", timeout=PATIENCE)
    page.get_by_role("button", name="One fewer: nodes").click()
    expect(page.locator("#member-node-4")).to_have_count(0, timeout=PATIENCE)
    page.get_by_role("radio", name="sticky").click()
    expect(page.get_by_role("radio", name="✓ sticky")).to_be_visible()
    wait_for_requests(page, 30)
    assert figures(page)["failed"] == failed
    page.get_by_role("radio", name="round_robin").click()
    expect(page.get_by_role("radio", name="✓ round_robin")).to_be_visible()


def test_the_last_lines_of_a_log_are_shown(page: Page) -> None:
    page.get_by_role("button", name="Log store").click()
    expect(page.get_by_role("dialog").locator("pre")).to_contain_text("Ready to accept connections")
    page.keyboard.press("Escape")


def test_in_memory_users_are_logged_out_and_ctrl_c_ends_everything(browser: Browser, tmp_path: Path) -> None:
    with running_console(tmp_path, "--store", "memory", "--balance", "sticky") as (process, address):
        with opened(browser, address, patience=PATIENCE, ignored=IGNORED, locale="ko-KR") as page:
            expect(page.locator("#member-node-3")).to_contain_text("p50", timeout=PATIENCE)
            wait_for_requests(page, 60)
            assert figures(page)["users_logged_out"] == 0
            page.get_by_role("button", name="node-2 강제 종료", exact=True).click()
            expect(page.locator("#figure-logged_out")).to_have_class(re.compile("out"), timeout=PATIENCE)
            expect(page.locator(".log")).to_contain_text("로그아웃됨")
            family = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
            shown = final_figures(page)
            process.send_signal(signal.SIGINT)
            expect(page.get_by_text("연결 끊김")).to_be_visible(timeout=PATIENCE)
            assert process.wait(timeout=40) == 130
    wait_until(lambda: not lives(*family), "every process has ended")
    history = tmp_path / "out" / "load-1" / "history.jsonl.gz"
    found = check(read(history))
    assert found.complete
    assert shown["users_logged_out"] > 0
    for name in ("operations", "failed", "logged_out", "users_logged_out"):
        assert shown[name] == getattr(found.total, name), name
    for name in ("sessions_lost", "updates_lost", "stale_reads"):
        assert shown[name] == getattr(found, name), name


def test_ctrl_c_while_the_cluster_starts_ends_everything() -> None:
    status, rest, _ = interrupt_command(signal.SIGINT, "Open", "console", "--port", "0", "--nodes", "2")
    assert status == 130
    assert rest.splitlines()[-1] == "stopped"
