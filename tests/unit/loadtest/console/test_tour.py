"""The guided tour: what it waits for, when theory and measurement agree, and that it can be left anywhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from deploy import ClusterSpec, StoreKind
from loadtest.checker import Checker
from loadtest.claims.claim import Verdict
from loadtest.console.board import Board, Order
from loadtest.console.commands import ClusterStage, ClusterState, refuse
from loadtest.console.director import Director, Refused
from loadtest.console.messages import message
from loadtest.console.server import Console, create_app
from loadtest.console.stops import BY_NAME, OWN, STOPS
from loadtest.console.tour import Tour, TourStage, TourStep
from loadtest.demo import BY_NAME as SCENES
from loadtest.faults import NOTHING
from loadtest.history import Action, Mark, now
from proxy import Balance
from tests.support.checker_script import show_user
from tests.support.fake_cluster import FakeCluster

USERS = 24


class Load:
    """Operations that the test says, of users who have logged in."""

    def __init__(self, users: int = USERS) -> None:
        self.users = users
        self.marks: list[str] = []
        self.age = -1.0
        """How old the findings are, in seconds: below 0, what is fed now has been checked."""
        self._checker = Checker()
        self.arrive(users)

    @property
    def recent(self) -> Load:
        return self

    @property
    def checked_until(self) -> float:
        return now() - self.age

    @property
    def findings(self) -> Any:
        return self._checker.findings()

    def mark(self, name: str) -> None:
        self.marks.append(name)
        self._checker.feed(Mark(now(), name))

    def arrive(self, users: int) -> None:
        for number in range(users):
            self.look(number, found=True, action=Action.LOGIN)

    def look(self, number: int, *, found: bool, action: Action = Action.LOOK) -> None:
        self._checker.feed(show_user(number, now(), action=action, found=found))


@dataclass
class StubDirector:
    """A director whose commands are done at once, unless it is busy."""

    cluster: Any = None
    load: Load | None = None
    scene: str = OWN
    running: Any = None
    waiting: tuple[Any, ...] = ()
    users: int = USERS
    posted: list[Order] = field(default_factory=list)
    stage: ClusterStage = ClusterStage.RUNNING
    refuses: bool = False

    @property
    def state(self) -> ClusterState:
        return ClusterState(stage=self.stage, spec=ClusterSpec(), policy=Balance.ROUND_ROBIN, network=None)

    def post(self, order: Order) -> int:
        if self.refuses:
            raise Refused(message("queue_full"))
        self.posted.append(order)
        if order.do == "scene":
            spec = ClusterSpec() if order.to == OWN else BY_NAME[order.to].spec
            self.scene, self.cluster, self.load = order.to, FakeCluster(spec), Load(self.users)
            self.cluster.start()
        elif order.do == "users" and self.load is not None:
            self.load.users = int(order.to)
            self.load.arrive(int(order.to))
        return len(self.posted)


@pytest.fixture
def director() -> StubDirector:
    return StubDirector()


def make(director: StubDirector) -> Tour:
    return Tour(director, pace=0.0)  # type: ignore[arg-type]


def go_to(tour: Tour, name: str) -> None:
    tour.take(TourStep.RESUME)
    while tour.look().stop != name:
        tour.take(TourStep.NEXT)
    tour.take(TourStep.ACT)
    assert tour.look().stage is TourStage.MEASURING


def feed(director: StubDirector, requests: int, lost: int = 0) -> None:
    """Add requests, of which the first ones find their user logged out, each another user's in turn."""
    assert director.load is not None
    for number in range(requests):
        director.load.look(number % USERS, found=number >= lost)
        if number < lost:
            director.load.look(number % USERS, found=True, action=Action.LOGIN)


def test_the_stops_are_the_scenes_with_their_claims_and_two_failovers() -> None:
    assert [stop.name for stop in STOPS] == [*SCENES, "primary-killed", "cluster-primary-killed"]
    for name, scene in SCENES.items():
        (variant,) = scene.variants
        assert BY_NAME[name].spec is variant.spec
        for phase, measurement in zip(variant.phases, BY_NAME[name].measurements, strict=True):
            assert measurement.claims == phase.claims
            assert measurement.min_requests == phase.min_requests
            assert (measurement.order is None) is (phase.fault is NOTHING)


def test_a_stop_measures_as_many_requests_as_its_claims_need(
    director: StubDirector,
) -> None:
    tour = make(director)
    go_to(tour, "one-worker")
    feed(director, 10)
    view = tour.look()
    assert (view.stage, view.requests, view.needed) == (TourStage.MEASURING, 10, 60)
    feed(director, 50)
    view = tour.look()
    assert view.stage is TourStage.MEASURED
    (measured,) = view.measured
    assert (measured.verdict, measured.requests, measured.logged_out) == (Verdict.HOLDS, 60, 0)
    assert "no session, update or logout is lost, and no answer is another user's" in map(str, measured.theory)
    assert view.verdicts == {"one-worker": Verdict.HOLDS}


def test_findings_of_before_the_end_of_a_measurement_do_not_end_it(director: StubDirector) -> None:
    tour = make(director)
    go_to(tour, "one-worker")
    assert director.load is not None
    director.load.age = 100.0
    feed(director, 100)
    assert tour.look().stage is TourStage.MEASURING
    director.load.age = -1.0
    assert tour.look().stage is TourStage.MEASURED


def test_it_says_so_where_theory_and_measurement_do_not_agree(director: StubDirector) -> None:
    tour = make(director)
    go_to(tour, "three-nodes")
    feed(director, 200)
    (measured,) = tour.look().measured
    assert measured.verdict is Verdict.BROKEN
    assert "0% of the requests found the user logged out; expected about two thirds" in measured.seen[0].en
    assert "예상은 약 3분의 2" in measured.seen[0].ko


def test_a_measurement_with_too_little_data_goes_on(director: StubDirector, monkeypatch: pytest.MonkeyPatch) -> None:
    tour = make(director)
    go_to(tour, "one-worker")
    feed(director, 10)
    tour.take(TourStep.AGAIN)
    assert tour.look().stage is TourStage.MEASURING, "only what has ended is measured again"
    with monkeypatch.context() as patch:
        patch.setattr("loadtest.console.tour.PATIENCE", 0.0)
        view = tour.look()
    assert (view.verdicts, view.again) == ({"one-worker": Verdict.NOT_ENOUGH_DATA}, True)
    tour.take(TourStep.AGAIN)
    assert tour.look().stage is TourStage.MEASURING
    feed(director, 50)
    view = tour.look()
    assert (view.verdicts, view.again, view.measured[0].requests) == ({"one-worker": Verdict.HOLDS}, False, 60)
    assert director.load is not None
    assert director.load.marks == ["steady"]


def test_a_stop_that_was_left_before_its_end_is_not_measured(director: StubDirector) -> None:
    tour = make(director)
    go_to(tour, "redis-kill")
    feed(director, 200)
    assert len(tour.look().measured) == 1
    tour.take(TourStep.NEXT)
    assert tour.look().verdicts == {}


def test_a_command_of_a_stop_is_the_directors_and_begins_a_phase(director: StubDirector) -> None:
    tour = make(director)
    go_to(tour, "redis-kill")
    assert director.load is not None
    feed(director, 200)
    view = tour.look()
    assert (view.stage, view.order) == (TourStage.MEASURED, Order("kill", on="node-2"))
    tour.take(TourStep.ACT)
    assert director.posted[-1] == Order("kill", on="node-2")
    assert director.load.marks == ["steady", "node-2 killed"]
    director.running = object()
    feed(director, 200)
    assert tour.look().stage is TourStage.MEASURING, "the command is not done"
    director.running = None
    view = tour.look()
    assert (view.stage, view.order) == (TourStage.MEASURED, None)
    assert len(view.measured) == 2


def test_it_brings_the_users_that_the_claims_need(director: StubDirector) -> None:
    director.users = 3
    tour = make(director)
    tour.take(TourStep.RESUME)
    tour.take(TourStep.ACT)
    tour.look()
    assert director.posted[-1] == Order("users", to="20")
    assert tour.look().stage is TourStage.MEASURING


def test_it_can_be_left_anywhere_and_is_resumed_where_it_was(director: StubDirector) -> None:
    tour = make(director)
    go_to(tour, "sticky-kill")
    tour.take(TourStep.LEAVE)
    assert tour.look().stage is TourStage.OUTSIDE
    assert director.posted[-1] == Order("scene", to=OWN)
    tour.take(TourStep.RESUME)
    view = tour.look()
    assert (view.stage, view.stop) == (TourStage.READY, "sticky-kill")
    tour.take(TourStep.BACK)
    assert tour.look().stop == "three-nodes"


def test_left_while_its_cluster_starts_it_brings_the_own_one_back_afterwards(director: StubDirector) -> None:
    tour = make(director)
    tour.take(TourStep.RESUME)
    tour.take(TourStep.ACT)
    director.stage = ClusterStage.STARTING
    tour.take(TourStep.LEAVE)
    tour.look()
    assert director.scene == "one-worker"
    director.stage, director.refuses = ClusterStage.RUNNING, True
    tour.look()
    director.refuses = False
    tour.look()
    assert director.scene == OWN


def test_another_cluster_than_its_own_is_not_measured(director: StubDirector) -> None:
    tour = make(director)
    go_to(tour, "one-worker")
    director.load = Load()
    assert tour.look().stage is TourStage.READY


def test_after_the_last_stop_it_is_finished_and_begins_again_from_the_first(director: StubDirector) -> None:
    tour = make(director)
    tour.take(TourStep.RESUME)
    for _ in STOPS:
        tour.take(TourStep.NEXT)
    assert tour.look().stage is TourStage.FINISHED
    tour.take(TourStep.LEAVE)
    tour.take(TourStep.RESUME)
    assert tour.look().number == 1


@pytest.mark.parametrize(
    ("to", "users", "why"),
    [("three-nodes", 20, None), (OWN, 20, None), ("four-nodes", 20, "no_such_value"), ("scale", None, "no_users_here")],
)
def test_a_cluster_of_the_tour_needs_its_name_and_users(to: str, users: int | None, why: str | None) -> None:
    spec = ClusterSpec(store=StoreKind.REDIS)
    state = ClusterState(
        stage=ClusterStage.RUNNING, spec=spec, policy=spec.balance, network=None, members=(), users=users
    )
    reason = refuse(state, "scene", to)
    assert (reason and reason.key) == why


def test_a_tour_is_taken_over_http(tmp_path: Path) -> None:
    director = Director(ClusterSpec(), None, FakeCluster, Board(), tmp_path)
    console = Console(Board(), director, 8090)
    client = create_app(console).test_client()
    base = {"base_url": "http://127.0.0.1:8090", "headers": {"Authorization": f"Bearer {console.token}"}}

    def take(order: dict[str, str]) -> Any:
        return client.post("/console/tour/steps", json=order, **base)

    assert client.get("/console/tour/", base_url="http://127.0.0.1:8090").status_code == 403
    assert client.get("/console/tour/", **base).get_json()["stage"] == "outside"
    assert take({"do": "resume"}).json["stage"] == "ready"
    refused = take({"do": "act"})
    assert (refused.status_code, refused.json["reason"]["key"]) == (409, "stage_starting")
    assert take({"do": "fly"}).status_code == 400
    assert client.post("/console/tour/steps", data={"do": "next"}, **base).status_code == 415
