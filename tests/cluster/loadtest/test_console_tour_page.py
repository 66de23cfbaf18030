"""The guided tour in Chromium from start to end, on clusters and users that behave as theory says, or do not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Self

import pytest
from playwright.sync_api import Browser, Page, expect

from deploy import Cluster, ClusterSpec, StoreKind
from deploy.ports import free_ports
from loadtest.checker import Checker
from loadtest.console.commands import ClusterStage
from loadtest.console.director import Director
from loadtest.console.live_load import Recent
from loadtest.console.sampler import Sampler
from loadtest.console.server import Console, PageThread
from loadtest.experiment import Place
from loadtest.history import Action, Mark, now
from loadtest.load_profile import LoadProfile
from loadtest.target import ClusterTarget
from proxy import Balance
from tests.support.axe import find_barriers, load_axe
from tests.support.checker_script import show_user
from tests.support.chromium import PATIENCE, opened
from tests.support.console import FakeConsole
from tests.support.fake_cluster import FakeCluster, FakeStore
from tests.support.tour import STOPS, press

pytestmark = pytest.mark.browser

USERS = 24
OPS = 60
"""Requests between two looks of the sampler."""


class ScriptedLoad:
    """In the place of `LiveLoad`: as many requests find their user logged out as the cluster's spec makes likely."""

    share_of_nodes = 2 / 3
    is_paused = False

    def __init__(self, target: ClusterTarget, profile: LoadProfile, folder: Path, *, keep: bool) -> None:
        self.users, self.started, self.recent = profile.users, now(), Recent()
        self._spec = target.cluster.spec
        self._checker = Checker()
        self._phase, self._count = "", 0
        self._pinned = set(range(0, USERS, 3))
        for user in range(USERS):
            self._feed(user, Action.LOGIN, found=True)
        self.findings = self._checker.findings()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None: ...

    def set_users(self, users: int) -> None:
        self.users = users

    def mark(self, name: str) -> None:
        self._phase = name if name not in {"fault", "undo"} else self._phase
        self._checker.feed(Mark(now(), name))

    def sample(self) -> None:
        for _ in range(OPS):
            self._count += 1
            user = self._count % USERS
            self._feed(user, Action.LOOK, found=not self._loses(user))
        self.findings = self._checker.findings()
        self.recent.take_logged_out(self._checker.logged_out_at, now() + 1)

    def _loses(self, user: int) -> bool:
        spec = self._spec
        if spec.store is not StoreKind.MEMORY:
            return False
        if spec.balance is Balance.STICKY:
            lost = self._phase == "node-2 killed" and user in self._pinned
            self._pinned.discard(user) if lost else None
            return lost
        processes = spec.nodes * spec.workers
        share = {1: 0.0, 2: 1 / 2, 3: self.share_of_nodes}[processes]
        return (self._count // USERS * 7 + self._count) % 12 < 12 * share

    @property
    def _nodes(self) -> int:
        return 5 if self._phase == "out to 5" else self._spec.nodes

    def _feed(self, user: int, action: Action, *, found: bool) -> None:
        op = show_user(user, now(), action=action, found=found, node=f"node-{self._count % self._nodes + 1}")
        self._checker.feed(op)
        self.recent.add(op)


class Replicated(FakeStore):
    """The store's servers of a fake cluster; the first is the primary."""

    def primary(self) -> str:
        return "store-1"


class TourConsole(FakeConsole):
    """A console with a load."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.director = Director(self.director.state.spec, USERS, self._make, self.board, folder)
        self.console = Console(self.board, self.director, free_ports(1)[0])
        self.sampler = Sampler(self.director, self.board, Place.LOCAL)
        self.page = PageThread(self.console)

    def _make(self, spec: ClusterSpec) -> Cluster:
        cluster = FakeCluster(spec)
        cluster._control = Replicated(spec.store)
        self.clusters.append(cluster)
        return cluster


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> type[ScriptedLoad]:
    for name in ("MIN_SECONDS", "FAILOVER_SECONDS"):
        monkeypatch.setattr(f"loadtest.console.stops.{name}", 0.1)
    monkeypatch.setattr("loadtest.console.tour_view.Tour", _quick(monkeypatch))
    monkeypatch.setattr("loadtest.console.director.LiveLoad", ScriptedLoad)
    return ScriptedLoad


def _quick(monkeypatch: pytest.MonkeyPatch) -> Any:
    from loadtest.console.tour import Tour

    return lambda director: Tour(director, pace=0.02)


@contextmanager
def running(browser: Browser, folder: Path, **look: Any) -> Iterator[Page]:
    with TourConsole(folder) as console, opened(browser, console.address, **look) as page:
        yield page
        assert console.director.look().stage is ClusterStage.RUNNING


def start(page: Page, number: int, title: str) -> None:
    expect(page.locator(".tour .position")).to_contain_text(f"{number} of 8")
    expect(page.locator(".tour h2")).to_have_text(title)
    press(page, "Start this cluster")


def expect_results(page: Page, *texts: str) -> None:
    results = page.locator(".tour .result")
    expect(results).to_have_count(len(texts), timeout=PATIENCE)
    for number, text in enumerate(texts):
        expect(results.nth(number)).to_contain_text(text)


AGREE = "Theory and measurement agree"


def test_the_tour_leads_from_start_to_end_and_back_to_the_own_cluster(
    browser: Browser, tmp_path: Path, scripted: type[ScriptedLoad]
) -> None:
    with running(browser, tmp_path) as page:
        press(page, "Start the tour")
        for number, (title, commands) in enumerate(STOPS, 1):
            start(page, number, title)
            for done, command in enumerate(commands, 1):
                expect_results(page, *[AGREE] * done)
                press(page, command)
            expect_results(page, *[AGREE] * (len(commands) + 1))
            press(page, "Next")
        expect(page.locator(".tour li.holds")).to_have_count(len(STOPS))
        press(page, "Leave the tour")
        expect(page.locator(".log ol")).to_contain_text("back to the console's own", timeout=PATIENCE)
        press(page, "Start the tour")
        expect(page.locator(".tour .position")).to_contain_text("1 of 8")


def test_it_says_so_where_theory_and_measurement_do_not_agree(
    browser: Browser, tmp_path: Path, scripted: type[ScriptedLoad], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scripted, "share_of_nodes", 1 / 4)
    with running(browser, tmp_path) as page:
        press(page, "Start the tour")
        press(page, "Next")
        press(page, "Next")
        start(page, 3, "Three nodes")
        expect_results(page, "Theory and measurement do not agree")
        expect(page.locator(".tour dl")).to_contain_text("expected about two thirds")
        page.reload()
        expect_results(page, "Theory and measurement do not agree")
        page.get_by_role("button", name="한국어").click()
        expect(page.locator(".tour .result h3")).to_contain_text("이론과 측정이 일치하지 않습니다")
        press(page, "투어 나가기")
        expect(page.locator(".tour.invitation")).to_contain_text("8개 중 3번부터 계속")


@pytest.mark.node
@pytest.mark.parametrize(("language", "scheme", "width"), [("en-US", "light", 1280), ("ko-KR", "dark", 390)])
def test_no_state_of_the_tour_has_a_barrier(
    browser: Browser,
    tmp_path: Path,
    scripted: type[ScriptedLoad],
    language: str,
    scheme: Literal["light", "dark"],
    width: int,
) -> None:
    axe, found = load_axe(), {}
    look = {"locale": language, "color_scheme": scheme, "viewport": {"width": width, "height": 900}}
    with running(browser, tmp_path, **look) as page:
        act = page.locator(".tour .act")
        expect(act).to_be_visible()
        found["invitation"] = find_barriers(page, axe)
        act.click()
        expect(page.locator(".tour .position")).to_be_visible()
        found["first stop"] = find_barriers(page, axe)
        for _ in range(3):
            page.locator(".tour .ways button").nth(-2).click()
        act.click()
        expect_results(page, "평상시" if language == "ko-KR" else "steady")
        found["measured"] = find_barriers(page, axe)
        for _ in range(5):
            page.locator(".tour .ways button").nth(-2).click()
        expect(page.locator(".tour li").first).to_be_visible()
        found["end"] = find_barriers(page, axe)
    assert {what: barriers for what, barriers in found.items() if barriers} == {}
