"""The pictures of README and docs, made from real clusters, loads and pages.

`python -m tests.pictures [NAME ...]` writes docs/pictures/NAME.webp, all of them without names. It needs Chromium, and
takes about three minutes for all. `kill` is the moving one: figures and chart are those of the console's page.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.support.chromium import CHROMIUM
from tests.support.commands import run_command, running_console
from tests.support.node import ROOT
from tests.support.waiting import wait_until

FOLDER = ROOT / "docs" / "pictures"
PATIENCE = 60_000
MOST_WAITING = 60.0
USERS = 20
SHARED = ("--store", "redis")

BEFORE, FOCUS, AFTER = 2.0, 1.0, 8.0
"""Seconds of a run in the moving picture: before the button has the focus, before its key kills, and after that."""
SHOWN, HOLD = 5.0, 2.5
"""Seconds of the moving picture for each run, and then for its last frame."""
SHORTEST = 120.0
"""Milliseconds for which a frame is shown at least."""
WIDTH, HEIGHT = 940, 670
LAYOUT = """
.topology { min-height: 0 !important; padding: 4px 12px !important; }
.plot svg { height: 120px !important; } .plot .middle { top: 104px !important; }
header, .tour, .controls, .log, .since, .topology > h2, .browser a { display: none !important; }
.figures { grid-template-columns: repeat(6, minmax(0, 1fr)) !important; }
#figure-latency b { font-size: 16px; line-height: 1.72; }
.cluster { padding-top: 0 !important; }
#caption { background: #17212b; color: #fff; padding: 10px 14px; margin-bottom: 10px; font-size: 21px; font-weight: 650;
  display: flex; align-items: baseline; gap: 14px; white-space: nowrap; }
#caption small { margin-left: auto; font-size: 13px; font-weight: 400; opacity: .8; }
"""
"""For the moving picture: the parts of the page that tell the story, under a caption."""


@dataclass
class Film:
    """The frames of a page, and the seconds of the run at which each was taken."""

    page: Page
    frames: list[Image.Image] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    def caption(self, text: str) -> None:
        self.page.evaluate("text => { document.querySelector('#caption span').textContent = text; }", text)

    def take(self, seconds: float, until: Callable[[], bool] = lambda: True) -> None:
        """Take frames, as many as the machine can, for this time, and then until this is so."""
        end = time.monotonic() + seconds
        while time.monotonic() < end or not until():
            assert time.monotonic() < end + MOST_WAITING
            begin = time.monotonic()
            self.frames.append(_to_image(self.page.screenshot()))
            self.times.append(begin)
            self.page.wait_for_timeout(max(0.0, 250 - 1000 * (time.monotonic() - begin)))

    def shots(self) -> Iterator[tuple[Image.Image, int]]:
        """Yield the frames that are shown, and for how many milliseconds: at least SHORTEST, so some are left out."""
        scale = 1000 * SHOWN / (self.times[-1] - self.times[0])
        shown, begin = self.frames[0], self.times[0]
        for frame, at in zip(self.frames[1:-1], self.times[1:-1], strict=True):
            if (at - begin) * scale >= SHORTEST:
                yield shown, round((at - begin) * scale)
                shown, begin = frame, at
        yield shown, max(1, round((self.times[-1] - begin) * scale))
        yield self.frames[-1], round(1000 * HOLD)


def film_kills(browser: Browser) -> None:
    """Kill a node twice, with sessions in memory and with a shared store; nothing else differs."""
    lost: dict[str, str] = {}
    films: list[Film] = []
    for store, name in (("memory", "Sessions in memory"), ("redis", "Shared session store")):
        with opened(browser, "--store", store, "--balance", "sticky", viewport=(WIDTH, HEIGHT)) as page:
            wait_for_requests(page, 200)
            page.add_style_tag(content=LAYOUT)
            page.evaluate(
                "document.body.insertAdjacentHTML('afterbegin',"
                " '<div id=caption><span></span><small>session-cluster console, sped up</small></div>')"
            )
            film = Film(page)
            film.caption(f"{name}: all is well")
            film.take(BEFORE)
            kill = page.get_by_role("button", name="Kill node-2", exact=True)
            page.keyboard.press("Shift")  # so that the focus is shown
            kill.focus()
            film.take(FOCUS)
            page.keyboard.press("Enter")
            film.caption(f"{name}: node-2 is killed")
            film.take(AFTER, until=renewals(page, 2))
            counts = figures(page)
            lost[name] = f"{counts['users_logged_out']} of {counts['users']} users found logged out"
            film.caption(f"{name}: {lost[name]}")
            film.take(0.2)
            films.append(film)
    _save_film(films)
    print(*(f"{name}: {users}" for name, users in lost.items()), sep="\n")


def _save_film(films: list[Film]) -> None:
    frames, durations = zip(*(shot for film in films for shot in film.shots()), strict=True)
    path = FOLDER / "kill.webp"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=durations, loop=0, quality=80, method=2)
    print(f"{path.name}: {len(frames)} frames, {sum(durations) / 1000:.1f} s, {path.stat().st_size} bytes")


def picture_cluster(browser: Browser) -> None:
    """The console's view "Cluster", a few seconds after a node was killed."""
    with opened(browser, *SHARED) as page:
        wait_for_requests(page, 1000)
        page.get_by_role("button", name="Kill node-2", exact=True).click()
        wait_for_requests(page, 500)
        save("cluster", page)


def picture_session(browser: Browser) -> None:
    """The console's view "Session", after a login and something in the cart."""
    with opened(browser, *SHARED) as page:
        page.get_by_role("link", name="Session", exact=True).click()
        for step in ("login", "cart"):
            page.locator(f".steps .{step} button").click()
            expect(page.locator(".steps .look button")).to_have_attribute("aria-disabled", "false")
        expect(page.locator(".record table")).to_be_visible()
        save("session", page)


def picture_tour(browser: Browser) -> None:
    """The guided tour at its fourth stop: sticky sessions in memory, and a killed node."""
    with opened(browser, *SHARED) as page:
        tour = page.locator(".tour")
        tour.get_by_role("button", name="Start the tour").click()
        for number in (1, 2, 3):
            expect(tour.locator(".position")).to_contain_text(f"{number} of")
            tour.get_by_role("button", name="Next").click()
        expect(tour.locator(".position")).to_contain_text("4 of")
        tour.locator(".act").click()
        expect(tour.locator(".result")).to_have_count(1)
        tour.locator(".act").click()
        expect(tour.locator(".result")).to_have_count(2)
        save("tour", page, height=800)


def picture_experiments(browser: Browser) -> None:
    """The console's view "Experiments", with the verdict of the one that kills a node."""
    with opened(browser, *SHARED) as page:
        page.get_by_role("link", name="Experiments", exact=True).click()
        title = "kill a node, shared store"
        one = page.locator(".list details").filter(has=page.get_by_text(title, exact=True))
        one.locator("summary").click()
        one.get_by_role("button", name=f"Run: {title}").click()
        expect(page.locator(".result h3")).to_contain_text(title, timeout=2 * PATIENCE)
        page.evaluate("scrollTo(0, 0)")
        folder = page.locator(".note").filter(has_text="Results of this console").locator("code")
        folder.evaluate("one => one.textContent = 'results'")  # a temporary folder
        save("experiments", page, height=1000)


def picture_shop(browser: Browser) -> None:
    """The shop's page of a visitor with visits and a cart."""
    with opened(browser, *SHARED) as console:
        page = console.context.new_page()
        page.goto(state(console)["cluster"]["url"])
        for _ in range(3):
            page.get_by_role("button", name="Count a visit").click()
        page.get_by_label("Item").fill("apple")
        page.get_by_label("Quantity").fill("3")
        page.get_by_role("button", name="Add").click()
        save("shop", page)


def picture_report(browser: Browser) -> None:
    """The report of two scenes of the demo: the two that the moving picture shows."""
    with tempfile.TemporaryDirectory() as folder:
        done = run_command("demo", "--scene", "sticky-kill", "--scene", "redis-kill", "--out", folder)
        assert done.returncode == 0, done.stdout + done.stderr
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.goto((Path(folder) / "report.html").as_uri())
        save("report", page, height=1000)


PICTURES: Mapping[str, Callable[[Browser], None]] = {
    "kill": film_kills,
    "cluster": picture_cluster,
    "session": picture_session,
    "tour": picture_tour,
    "experiments": picture_experiments,
    "shop": picture_shop,
    "report": picture_report,
}


@contextlib.contextmanager
def opened(browser: Browser, *options: str, viewport: tuple[int, int] = (1280, 800)) -> Iterator[Page]:
    """Start a console with these options; yield its page once the load runs."""
    width, height = viewport
    with (
        tempfile.TemporaryDirectory() as folder,
        running_console(Path(folder), "--users", str(USERS), *options) as (process, address),
        browser.new_context(locale="en-US", bypass_csp=True, viewport={"width": width, "height": height}) as context,
    ):
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.goto(address)
        expect(page.locator("#member-node-1")).to_be_visible()
        wait_for_requests(page, 1)
        yield page
        process.terminate()
        process.wait(timeout=40)


def state(page: Page) -> dict[str, Any]:
    snapshot: dict[str, Any] = page.evaluate("fetch('state').then((answer) => answer.json())")
    return snapshot


def figures(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = state(page)["figures"] or {"operations": 0}
    return found


def renewals(page: Page, count: int) -> Callable[[], bool]:
    """Return whether figures were renewed so often since this call. The second ones are of what happened after it."""
    seen = {figures(page)["operations"]}

    def are_renewed() -> bool:
        seen.add(figures(page)["operations"])
        return len(seen) > count

    return are_renewed


def wait_for_requests(page: Page, count: int) -> None:
    """Block until so many more requests have been answered or have failed."""
    before = figures(page)["operations"]
    wait_until(lambda: figures(page)["operations"] >= before + count, f"{count} more requests", 60)


def save(name: str, page: Page, height: int | None = None) -> None:
    """Save the page, or its upper part."""
    image = _to_image(page.screenshot(full_page=True, animations="disabled"))
    path = FOLDER / f"{name}.webp"
    image.crop((0, 0, image.width, min(image.height, height or image.height))).save(path, quality=75, method=6)
    print(f"{path.name}: {path.stat().st_size} bytes")


def _to_image(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png)).convert("RGB")


def main() -> None:
    """Make the pictures of these names, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PICTURES))
    names = parser.parse_args().names
    if unknown := set(names) - PICTURES.keys():
        parser.error(f"NAME must be one of {', '.join(PICTURES)}, not {', '.join(sorted(unknown))}")
    expect.set_options(timeout=PATIENCE)
    FOLDER.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for name in names or PICTURES:
            PICTURES[name](browser)
        browser.close()


if __name__ == "__main__":
    main()
