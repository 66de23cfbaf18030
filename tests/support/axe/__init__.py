"""axe-core, which checks a page in Chromium for accessibility: its package is installed once with npm."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page

from loadtest.targets.install import InstallError, install_packages
from tests.support.lacks import lacks


def load_axe() -> str:
    """Return axe-core's script. Ends the test where it can't be installed."""
    try:
        packages = install_packages(Path(__file__).parent, "axe-core")
    except InstallError as error:
        lacks(str(error))
    return (packages / "node_modules" / "axe-core" / "axe.min.js").read_text()


def find_barriers(page: Page, axe: str) -> list[str]:
    """Return what axe-core finds in a page as it is now: each rule with the elements that break it."""
    page.evaluate(f"() => {{ {axe} }}")
    result = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{found['id']} ({found['help']}): {node['html'][:150]} {node['failureSummary']}"
        for found in result["violations"]
        for node in found["nodes"]
    ]
