"""The console's page in Chromium, on a cluster and a load that are not real: what it shows in each state."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from deploy import StoreKind
from loadtest.console.board import EntryKind, Order
from loadtest.console.director import Waiting
from loadtest.console.live_load import LATE
from loadtest.console.messages import message
from tests.support.chromium import opened
from tests.support.console import FakeConsole
from tests.support.waiting import wait_until

pytestmark = pytest.mark.browser

DASH = "\N{EN DASH}"
SIZES = [(390, 844), (820, 1000), (1000, 800), (1280, 800), (1920, 1080)]


@pytest.fixture
def console(tmp_path: Path) -> Iterator[FakeConsole]:
    with FakeConsole(tmp_path) as running:
        yield running


@pytest.fixture
def page(browser: Browser, console: FakeConsole) -> Iterator[Page]:
    with show(browser, console) as page:
        yield page


@pytest.fixture
def korean(browser: Browser, console: FakeConsole) -> Iterator[Page]:
    with show(browser, console, "ko-KR") as page:
        yield page


@contextmanager
def show(browser: Browser, console: FakeConsole, language: str = "en-US") -> Iterator[Page]:
    with opened(browser, console.address, locale=language, ignored=["status of 409", "net::ERR_"]) as page:
        expect(page.locator("#member-node-1")).to_be_visible()
        yield page


def figure(page: Page, name: str) -> str:
    return page.locator(f"#figure-{name} b").inner_text()


def test_the_token_leaves_the_address(page: Page, console: FakeConsole) -> None:
    assert console.console.token not in page.url
    page.reload()
    expect(page.get_by_text("live", exact=True)).to_be_visible()


def test_without_a_load_the_page_says_so_instead_of_zeros(page: Page) -> None:
    assert {figure(page, name) for name in ("requests", "logged_out", "failed", "latency", "gap")} == {DASH}
    expect(page.get_by_text("This cluster has no load")).to_be_visible()


def test_a_node_is_killed_with_one_click_and_the_fault_is_undone_with_another(page: Page, console: FakeConsole) -> None:
    page.get_by_role("button", name="Kill node-2", exact=True).click()
    node = page.locator("#member-node-2")
    expect(node).to_contain_text("ended")
    expect(node.locator(".shape")).to_have_text("✕")
    expect(page.locator(".log")).to_contain_text("kill node-2")
    expect(page.locator(".plot .span")).to_have_count(1)
    page.get_by_role("button", name="Undo all faults", exact=True).click()
    expect(node).to_contain_text("running")
    assert not console.director.look().has_fault


def test_a_command_that_is_not_possible_stays_in_place_and_says_why(page: Page) -> None:
    kill = page.get_by_role("button", name="Kill node-2", exact=True)
    kill.focus()
    page.keyboard.press("Enter")
    expect(kill).to_have_attribute("aria-disabled", "true")
    expect(kill).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("node-2 has ended: restart it")


def test_values_are_chosen_with_the_keyboard(page: Page, console: FakeConsole) -> None:
    page.get_by_role("radio", name="✓ ok").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.get_by_role("radio", name="✓ slow")).to_be_focused()
    assert console.cluster.network.mode == "slow"
    expect(page.locator(".fault-note")).to_contain_text("slow: +100 ms")


def test_figures_are_those_of_the_checker_and_losses_have_a_colour_of_their_own(
    page: Page, console: FakeConsole
) -> None:
    load = console.start_load()
    load.feed(console.address_of("node-1"), count=20, ago=LATE + 2)
    load.feed(console.address_of("node-1"), count=20, ago=LATE + 1.5)
    load.feed(console.address_of("node-1"), user=None, count=3)
    load.feed(console.address_of("node-2"), status=503, count=5)
    expect(page.locator("#figure-requests b")).to_have_text("48")
    expect(page.locator("#figure-logged_out")).to_have_class(re.compile("out"))
    assert (figure(page, "requests"), figure(page, "logged_out"), figure(page, "failed")) == ("48", "3", "5")
    total = load.findings.total
    assert (total.operations, total.users_logged_out, total.failed) == (48, 3, 5)
    expect(page.locator(".log")).to_contain_text("3 of 20 users were found logged out")
    expect(page.locator("#member-node-2")).to_contain_text("answers with errors")
    expect(page.locator("#member-node-1")).to_contain_text("running")


def test_a_few_requests_make_no_percentile(page: Page, console: FakeConsole) -> None:
    console.start_load().feed(console.address_of("node-1"), count=5)
    expect(page.locator("#figure-latency")).to_contain_text("too few requests")
    assert figure(page, "latency") == DASH


def test_a_load_that_has_ended_is_said_and_can_be_started_again(page: Page, console: FakeConsole) -> None:
    console.start_load().feed(console.address_of("node-1"), count=40)
    console.director.load_error = "the load generator ended early"
    expect(page.get_by_text("the load has ended: the load generator ended early")).to_be_visible()
    expect(page.locator("#figure-latency")).to_contain_text("no load")
    again = page.get_by_role("button", name="Start the load again")
    expect(again).to_have_attribute("aria-disabled", "false")


def test_two_tabs_agree_and_a_reload_keeps_chart_and_log(page: Page, console: FakeConsole) -> None:
    other = page.context.new_page()
    other.goto(page.url)
    other.get_by_role("button", name="Kill node-3").click()
    page.bring_to_front()
    for tab in (page, other):
        tab.bring_to_front()
        expect(tab.locator("#member-node-3")).to_contain_text("ended")
    page.bring_to_front()
    page.reload()
    expect(page.locator(".log li.done")).to_have_count(1)
    expect(page.locator(".plot .span")).to_have_count(1)
    expect(page.locator(".mark")).to_have_count(1)


def test_markup_in_a_log_is_shown_as_text(page: Page) -> None:
    page.get_by_role("button", name="Log node-1").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator("pre")).to_have_text("<b>node-1</b> & its log")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def test_a_lost_connection_is_said_with_the_time_of_the_last_figures(page: Page, console: FakeConsole) -> None:
    console.page.stop()
    expect(page.get_by_text(re.compile(r"connection lost, figures of \d\d:\d\d:\d\d"))).to_be_visible()
    expect(page.locator("main")).to_have_class("stale")
    expect(page.get_by_role("button", name="Kill node-1")).to_have_attribute("aria-disabled", "true")


def test_figures_that_do_not_change_any_more_are_not_live(page: Page, console: FakeConsole) -> None:
    console.sampler.stop()
    expect(page.get_by_text("connection lost")).to_be_visible()


def test_a_member_that_hangs_does_not_hold_the_page_up(page: Page, console: FakeConsole) -> None:
    console.post("pause", "proxy")
    wait_until(lambda: console.director.look().has_fault, "the proxy is paused")
    page.reload()
    expect(page.locator("#member-proxy")).to_contain_text("paused")
    page.get_by_role("button", name="Resume proxy").click()
    expect(page.locator("#member-proxy")).to_contain_text("running")


def test_everything_is_korean_for_a_korean_browser(korean: Page) -> None:
    assert korean.locator("html").get_attribute("lang") == "ko"
    for text in ("클러스터 바꾸기", "로그아웃된 사용자", "모든 장애 되돌리기", "저장소 네트워크", "무슨 일이 있었나"):
        expect(korean.get_by_text(text).first).to_be_visible()
    korean.get_by_role("button", name="node-2 강제 종료").click()
    expect(korean.locator(".log li.done")).to_contain_text("node-2 강제 종료")
    words = korean.locator("main").inner_text()
    names = {"proxy", "Redis", "DB", "SQL", "express-session", "http", "store", "p50", "p99", "ms"}
    names |= {
        "round_robin",
        "least_conn",
        "random_two",
        "ip_hash",
        "hash",
        "sticky",
        "session-cluster",
        "console",
        "node-1",
        "node-2",
        "node-3",
    }
    assert set(re.findall(r"[A-Za-z][\w-]*", words, re.ASCII)) - names == set()


def test_the_language_is_switched_and_kept(page: Page) -> None:
    page.get_by_role("button", name="한국어").click()
    expect(page.get_by_text("클러스터 바꾸기")).to_be_visible()
    page.reload()
    expect(page.get_by_text("클러스터 바꾸기")).to_be_visible()
    page.get_by_role("button", name="EN").click()
    expect(page.get_by_text("Change the cluster")).to_be_visible()


@pytest.mark.parametrize("language", ["en-US", "ko-KR"])
def test_the_page_fits_every_screen(browser: Browser, tmp_path: Path, language: str) -> None:
    with FakeConsole(tmp_path, store=StoreKind.REDIS_HA, nodes=6) as console:
        console.post("kill", "node-2")
        with show(browser, console, language) as page:
            for width, height in SIZES:
                page.set_viewport_size({"width": width, "height": height})
                page.wait_for_timeout(50)
                assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(
    ("count", "text"), [(1, "1 acknowledged update is lost"), (2, "2 acknowledged updates are lost")]
)
def test_one_is_told_in_the_singular(page: Page, console: FakeConsole, count: int, text: str) -> None:
    entry = console.board.log(EntryKind.SEEN, message("found_updates_lost", count=count))
    assert entry.text == text
    expect(page.locator(".log")).to_contain_text(text)


def test_the_log_is_in_the_order_of_its_times(page: Page, console: FakeConsole) -> None:
    """A command stands where it began, also when it has ended."""
    log = partial(console.board.log, command=7, order=Order("undo"))
    log(EntryKind.STARTED, message("do_undo"))
    console.board.log(EntryKind.SEEN, message("now_running", name="node-2"))
    log(EntryKind.DONE, message("do_undo"), seconds=4.0)
    expect(page.locator(".log li.done")).to_have_count(1)
    times = page.locator(".log time").all_inner_texts()
    assert times == sorted(times, reverse=True)
    expect(page.locator(".log li").last).to_contain_text("undo all faults")


def test_users_who_left_are_told_from_those_of_now(page: Page, console: FakeConsole) -> None:
    load = console.start_load()
    load.feed(console.address_of("node-1"), count=30)
    note = page.locator("#figure-logged_out .note")
    expect(note).to_have_text("of 20 users")
    load.set_users(10)
    expect(note).to_have_text("of 20 users so far, 10 now")


WIDTHS = (390, 560, 700, 768, 834, 1024, 1280)
LONG = Order("scene", to="cluster-primary-killed")
ROW, MOST_ROWS, LINE, MOST_LINES = 44, 3, 17, 3


@pytest.mark.parametrize("language", ["en-US", "ko-KR"])
def test_the_header_wraps_by_words_while_a_command_runs(browser: Browser, console: FakeConsole, language: str) -> None:
    with show(browser, console, language) as page:
        for running in (None, Waiting(1, Order("kill", "node-1")), Waiting(1, LONG)):
            before = page.locator(".doing").inner_text()
            console.director.running = running
            if running is not None:
                expect(page.locator(".doing")).not_to_have_text(before)
            for width in WIDTHS:
                page.set_viewport_size({"width": width, "height": 800})
                height = page.evaluate("document.querySelector('header').getBoundingClientRect().height")
                assert height <= MOST_ROWS * ROW, (running, width, height)
                lines = page.evaluate("document.querySelector('.doing').getBoundingClientRect().height") / LINE
                assert lines < MOST_LINES, (running, width, lines)
                assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_page_whose_part_did_not_come_is_loaded_again(browser: Browser, console: FakeConsole) -> None:
    """A browser drops requests when the network of the machine changes."""
    for part in ("store_kinds.js", "catalogue.json", "console.css"):
        with opened(browser, "about:blank", ignored=["net::ERR_", "Failed to fetch"]) as page:
            page.route(f"**/static/{part}", lambda route: route.abort("failed"), times=1)
            page.goto(console.address)
            expect(page.locator("#member-node-1")).to_be_visible()
            expect(page.locator("#member-node-1")).to_have_css("border-top-style", "solid")


def test_a_page_whose_part_never_comes_says_so(browser: Browser, console: FakeConsole) -> None:
    with opened(browser, "about:blank", ignored=["net::ERR_"]) as page:
        page.route("**/static/store_kinds.js", lambda route: route.abort("failed"))
        page.goto(console.address)
        again = page.get_by_role("link", name="Load it again")
        expect(again).to_be_visible()
        page.unroute("**/static/store_kinds.js")
        again.click()
        expect(page.locator("#member-node-1")).to_be_visible()
