"""The page in a real Chromium, with JavaScript switched off, on a real node."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.support.node import PASSWORD, RunningNode
from tests.support.servers import http_server

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def node(users_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    with RunningNode(users_file, tmp_path_factory.mktemp("node") / "node.log") as running:
        yield running


@pytest.fixture(params=[1280, 390], ids=["desktop", "phone"])
def page(request: pytest.FixtureRequest, browser: Browser, node: RunningNode) -> Iterator[Page]:
    """The page as a new visitor sees it. What the browser refuses to load or to apply fails the test."""
    context = browser.new_context(java_script_enabled=False, viewport={"width": request.param, "height": 844})
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(node.url)
    yield page
    context.close()
    assert [text for text in complaints if "status of 401" not in text and "status of 403" not in text] == []


def log_in(page: Page, password: str = PASSWORD) -> None:
    page.get_by_label("User").fill("alice")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def is_whole(text: Locator) -> bool:
    """Return whether nothing of the text is cut off."""
    return bool(text.evaluate("shown => shown.scrollWidth <= shown.clientWidth"))


def visits(page: Page) -> str:
    return page.locator("#visit-count").inner_text()


def test_the_page_says_at_once_who_answered_and_fits_the_screen(page: Page) -> None:
    heading = page.get_by_role("heading", level=1)
    expect(heading).to_have_text("node-2")
    expect(heading).to_be_in_viewport()
    expect(page.get_by_text("Not logged in")).to_be_visible()
    widths = page.locator("body").bounding_box(), page.locator("html").bounding_box()
    viewport = page.viewport_size
    assert viewport
    assert all(box and box["width"] <= viewport["width"] for box in widths)


def test_a_visitor_counts_visits_fills_a_cart_logs_in_and_out(page: Page) -> None:
    count = page.get_by_role("button", name="Count a visit")
    count.click()
    count.click()
    assert visits(page) == "2"
    page.get_by_label("Item").fill("apple")
    page.get_by_label("Quantity").fill("3")
    page.get_by_role("button", name="Add").click()
    line = page.get_by_role("listitem").filter(has_text="apple")
    expect(line).to_contain_text("3")

    log_in(page)
    expect(page.locator(".account")).to_contain_text("alice")
    assert is_whole(page.locator(".who"))
    assert visits(page) == "2"
    expect(line).to_contain_text("3")
    page.reload()  # repeats no form: it was a redirect that led here
    assert visits(page) == "2"

    page.get_by_role("button", name="Empty the cart").click()
    expect(line).to_have_count(0)
    page.get_by_role("link", name="alice").click()
    expect(page.get_by_text("Logged in since")).to_be_visible()
    page.get_by_role("button", name="Log out", exact=True).click()
    expect(page.get_by_text("Not logged in")).to_be_visible()
    assert visits(page) == "0"


def test_a_user_sees_where_they_are_logged_in_and_ends_the_others(
    page: Page, browser: Browser, node: RunningNode
) -> None:
    elsewhere = browser.new_context(java_script_enabled=False).new_page()
    elsewhere.goto(node.url)
    log_in(elsewhere)
    log_in(page)
    page.get_by_role("link", name="Your sessions").click()
    sessions = page.get_by_role("listitem")
    expect(sessions.first).to_contain_text("this one")
    assert sessions.count() >= 2
    page.get_by_role("button", name="End all others").click()
    expect(sessions).to_have_count(1)
    elsewhere.reload()
    expect(elsewhere.get_by_text("Not logged in")).to_be_visible()
    elsewhere.context.close()
    expect(page.get_by_role("button", name="Log out", exact=True)).to_be_visible()
    page.get_by_role("button", name="Log out everywhere").click()
    expect(page.get_by_text("Not logged in")).to_be_visible()


def test_a_wrong_password_is_reported_beside_its_form(page: Page) -> None:
    log_in(page, "not the password")
    expect(page.get_by_role("alert")).to_have_text("User or password is wrong.")
    expect(page.get_by_label("User")).to_have_value("alice")
    expect(page.get_by_label("Password")).to_have_value("")
    log_in(page)
    expect(page.locator(".account")).to_contain_text("alice")


@pytest.fixture
def foreign_site(node: RunningNode) -> Iterator[str]:
    """A page of another origin whose form is aimed at the node; its address."""

    form = f'<form method="post" action="{node.url}/visits"><button>Win a prize</button></form>'
    with http_server(lambda _: (200, {"Content-Type": "text/html"}, form.encode())) as url:
        yield url.replace("127.0.0.1", "localhost")  # to a browser, another site


def test_a_form_of_another_site_is_refused(page: Page, node: RunningNode, foreign_site: str) -> None:
    page.get_by_role("button", name="Count a visit").click()
    page.goto(foreign_site)
    page.get_by_role("button", name="Win a prize").click()
    expect(page).to_have_url(f"{node.url}/visits")
    expect(page.get_by_role("alert")).to_contain_text("another site")
    page.goto(node.url)
    assert visits(page) == "1"


def test_a_korean_browser_gets_korean_and_can_switch_to_english(browser: Browser, node: RunningNode) -> None:
    context = browser.new_context(java_script_enabled=False, locale="ko-KR", viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.goto(node.url)
    expect(page.locator("html")).to_have_attribute("lang", "ko")
    page.get_by_label("사용자").fill("alice")
    page.get_by_label("비밀번호").fill("not the password")
    page.get_by_role("button", name="로그인").click()
    expect(page.get_by_role("alert")).to_have_text("사용자 또는 비밀번호가 틀립니다.")
    box = page.locator(".language").bounding_box()
    assert box
    assert box["x"] + box["width"] <= 390
    page.get_by_role("link", name="English").click()
    expect(page).to_have_url(f"{node.url}/?lang=en")
    page.goto(node.url)
    log_in(page)
    expect(page.get_by_text("You are logged in.")).to_be_visible()
    context.close()
