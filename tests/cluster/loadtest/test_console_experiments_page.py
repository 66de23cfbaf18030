"""The view "Experiments" in Chromium, on scripted runs: stages, claims, verdict, report, past runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from loadtest.claims.claim import Verdict
from tests.support.chromium import PATIENCE, opened
from tests.support.console import FakeConsole
from tests.support.report_results import Run
from tests.support.scripted_suite import Script, scripted_suite  # noqa: F401 - a fixture

pytestmark = pytest.mark.browser

TITLE = "kill a node, shared store"
PICTURE = """() => {
  const image = document.querySelector("figure img");
  const base64 = image.src.slice(image.src.indexOf(",") + 1);
  const svg = new TextDecoder().decode(Uint8Array.from(atob(base64), (one) => one.charCodeAt(0)));
  const page = new DOMParser().parseFromString(svg, "image/svg+xml");
  const picture = document.body.appendChild(document.importNode(page.documentElement, true));
  const texts = [...picture.querySelectorAll("text")];
  const right = picture.getBoundingClientRect().right;
  const widest = Math.max(...texts.map((text) => text.getBoundingClientRect().right / right));
  picture.remove();
  return [texts.map((text) => text.textContent), widest];
}"""
"""The words in the report's picture, and how far the longest reaches: 1 is the picture's edge."""


@contextmanager
def running(browser: Browser, folder: Path, language: str = "en-US") -> Iterator[tuple[Page, FakeConsole]]:
    """The view of a console with users, whose results are in this folder."""
    with FakeConsole(folder) as console:
        console.start_load()
        with opened(browser, console.address, locale=language, ignored=["status of 409"]) as page:
            page.locator("nav a").nth(2).click()
            yield page, console


def experiment(page: Page, title: str = TITLE) -> Locator:
    """Open an experiment of the list by its title."""
    one = page.locator(".list details").filter(has=page.get_by_text(title, exact=True)).first
    one.locator("summary").click()
    return one


def test_one_is_run_watched_judged_and_its_report_opened(browser: Browser, tmp_path: Path, script: Script) -> None:
    with running(browser, tmp_path) as (page, console):
        one = experiment(page)
        expect(one).to_contain_text("Any node can die")
        one.get_by_role("button", name=f"Run: {TITLE}").click()
        run = page.locator(".run")
        expect(run.locator(".stages .now")).to_contain_text("watch")
        expect(run.locator(".stages .done")).to_have_count(4)
        expect(run.locator(".members")).to_contain_text("node-3")
        expect(run.locator(".claims .not_yet").nth(1)).to_contain_text("no session, update or logout is lost")
        page.get_by_role("link", name="Cluster", exact=True).click()
        expect(page.locator(".banner")).to_contain_text("This is the console's own cluster")
        expect(page.locator(".browser")).to_contain_text("users pause during the experiment")
        kill = page.get_by_role("button", name="Kill node-2", exact=True)
        expect(kill).to_have_attribute("aria-disabled", "true")
        expect(kill).to_have_attribute("title", "the experiment kill-node runs: stop it, or wait for its end")
        page.get_by_role("link", name="Experiments").first.click()
        script.go_on.set()
        verdict = page.locator(".result")
        expect(verdict.locator(".verdict.holds").first).to_have_text("✓ as predicted")
        expect(verdict).to_contain_text("0 of 119 GETs failed")
        page.get_by_role("button", name="한국어").click()
        with page.context.expect_page(timeout=3 * PATIENCE) as opening:
            verdict.get_by_role("link", name="보고서").click()
        page.get_by_role("button", name="EN").click()
        report = opening.value
        expect(report.locator("h1")).to_have_text("장애 조치 실험")
        expect(report.locator("html")).to_have_attribute("lang", "ko")
        assert report.evaluate("getComputedStyle(document.querySelector('h1')).fontSize") != "32px", "it has its style"
        expect(report.locator("figure img")).to_be_visible()
        words, widest = report.evaluate(PICTURE)
        assert {"응답", "장애", "초당 요청", "중앙값"} <= set(words)
        assert widest <= 1.0, "a word is cut off"
        report.close()
        page.reload()
        expect(verdict).to_contain_text("0 of 119 GETs failed")
        assert not console.load.is_paused


def test_two_tabs_agree_and_a_reload_keeps_the_run_and_the_chart(
    browser: Browser, tmp_path: Path, script: Script
) -> None:
    with running(browser, tmp_path) as (page, console):
        experiment(page).get_by_role("button", name=f"Run: {TITLE}").click()
        other = page.context.new_page()
        other.goto(f"{page.url.partition('#')[0]}#experiments")
        expect(other.locator(".run h3")).to_be_visible(timeout=20_000)
        for _ in range(2):
            for one in (page, other):
                expect(one.locator(".stages .now")).to_contain_text("watch")
                expect(one.locator(".members")).to_contain_text("node-3")
            other.reload()
        other.get_by_role("link", name="Cluster", exact=True).click()
        console.load.feed(console.address_of("node-1"), count=30)
        expect(other.locator(".legend .ok")).to_contain_text("30")
        other.reload()
        expect(other.locator(".legend .ok")).to_contain_text("30")
        other.get_by_role("link", name="Experiments").first.click()
        other.get_by_role("button", name="Stop the experiment").click()
        for one in (page, other):
            expect(one.locator(".run .state")).to_contain_text("stopped, without a result")


def test_it_is_stopped_from_the_page(browser: Browser, tmp_path: Path, script: Script) -> None:
    with running(browser, tmp_path) as (page, console):
        experiment(page).get_by_role("button", name=f"Run: {TITLE}").press("Enter")
        stop = page.get_by_role("button", name="Stop the experiment")
        expect(page.locator(".stages .now")).to_contain_text("watch")
        stop.press("Enter")
        expect(page.locator(".run .state")).to_contain_text("stopped, without a result")
        expect(stop).to_have_count(0)
        assert not console.load.is_paused
        page.get_by_role("link", name="Cluster", exact=True).click()
        expect(page.locator(".log")).to_contain_text("it was stopped; its fault is undone")


def test_one_that_needs_containers_says_so(browser: Browser, tmp_path: Path, script: Script) -> None:
    with running(browser, tmp_path) as (page, _):
        one = experiment(page, "kill the only database")
        button = one.get_by_role("button", name="Run: kill the only database").first
        expect(button).to_have_attribute("aria-disabled", "true")
        expect(one).to_contain_text("it needs containers: this console has none")
        button.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("it needs containers")
        expect(page.locator(".list .length").nth(28)).to_have_text("containers only")
        expect(page.locator(".list .length").nth(31)).to_have_text("several machines only")


def test_past_runs_have_their_verdicts_and_what_comes_from_a_result_is_text(
    browser: Browser, tmp_path: Path, script: Script
) -> None:
    lost = Run(verdict=Verdict.BROKEN, title="<b>bold</b>", lost=2).write(tmp_path)
    with running(browser, tmp_path) as (page, _):
        past = page.locator(".past li")
        expect(past).to_contain_text("<b>bold</b>")
        expect(past).to_contain_text("not as predicted")
        past.get_by_role("button", name="Verdict").click()
        expect(page.locator(".result")).to_contain_text("1 of 1 users was logged out")
        page.locator(".result summary").click()
        evidence = page.locator(".result details")
        expect(evidence).to_contain_text("logged out")
        expect(evidence).to_contain_text(str(lost.requests[0]))


@pytest.mark.parametrize("language", ["en-US", "ko-KR"])
def test_the_view_fits_a_telephone(browser: Browser, tmp_path: Path, script: Script, language: str) -> None:
    Run(verdict=Verdict.NOT_ENOUGH_DATA).write(tmp_path)
    with running(browser, tmp_path, language) as (page, _):
        title = TITLE
        if language == "ko-KR":
            title = "노드 강제 종료, 공유 저장소"
            expect(page.locator(".past")).to_contain_text("데이터 부족")
            expect(page.locator(".list h2")).to_have_text("실험")
            expect(page.locator(".past")).to_contain_text("데이터가 부족해 손실이 없다고 할 수 없음")
        one = experiment(page, title)
        one.locator("button").click()
        expect(page.locator(".claims li").first).to_be_visible()
        page.locator(".past button").click()
        expect(page.locator(".result table")).to_be_visible()
        if language == "ko-KR":
            expect(page.locator(".claims li").nth(1)).to_contain_text("세션도 변경도 로그아웃도 사라지지 않고")
            expect(page.locator(".result td").last).to_have_text("GET 119건 중 실패 0건")
        for width in (390, 820, 1280, 1920):
            page.set_viewport_size({"width": width, "height": 900})
            page.wait_for_timeout(50)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
