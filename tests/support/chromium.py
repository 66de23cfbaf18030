"""Chromium for tests of pages: one browser for a module, and a context of its own (cookies, storage) for each page."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
PATIENCE = 20_000
"""Milliseconds that a step on a page may take on a busy machine."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The browser of a module: to start one takes as long as a test."""
    from playwright.sync_api import expect, sync_playwright  # which most tests need not wait for

    expect.set_options(timeout=PATIENCE)
    assert CHROMIUM is not None, "tests/conftest.py skips these tests without it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def opened(
    browser: Browser, address: str, *, patience: int = PATIENCE, ignored: Sequence[str] = (), **options: Any
) -> Iterator[Page]:
    """A page in English, in a context with these options of Playwright.

    What the browser complains of fails the test, but for complaints with one of the `ignored` texts.
    """
    complaints: list[str] = []
    context = browser.new_context(**{"locale": "en-US", **options})
    context.set_default_timeout(patience)
    context.on("console", lambda message: complaints.append(message.text))
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    page = context.new_page()
    page.goto(address)
    try:
        yield page
    finally:
        context.close()
    complaints = [text for text in complaints if not any(one in text for one in ignored)]
    assert not complaints, f"the browser complained: {complaints}"
