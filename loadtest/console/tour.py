"""The guided tour: stop after stop on the console's own cluster, by the director's commands.

Each stop waits for its figures, and then says whether they are those that theory predicts. `look` moves it on, so it
goes on while a page is open. It can be left at any stop and resumed there.
"""

import threading
from contextlib import suppress
from enum import StrEnum

import msgspec

from deploy import Cluster
from loadtest.checker import PhaseFigures
from loadtest.claims.claim import Observed, Verdict
from loadtest.console.board import Order
from loadtest.console.commands import ClusterStage
from loadtest.console.director import Director, Refused
from loadtest.console.live_load import LiveLoad
from loadtest.console.stops import OWN, PRIMARY, STOPS, Measurement, Stop
from loadtest.history import now
from loadtest.report.korean import Said, say
from loadtest.runner import PATIENCE

USERS = 20
"""At least: the claims need some."""


class TourStage(StrEnum):
    """The stage of the tour: what it waits for."""

    OUTSIDE = "outside"
    """For the person: the tour has not begun, or was left."""
    READY = "ready"
    """For the person, to start the stop's cluster."""
    STARTING = "starting"
    """For the cluster and its users."""
    MEASURING = "measuring"
    """For enough figures."""
    MEASURED = "measured"
    """For the person: the next command of this stop, or the next stop."""
    FINISHED = "finished"


class TourStep(StrEnum):
    """A step that the person can take."""

    RESUME = "resume"
    ACT = "act"
    """Start the stop's cluster, or give its next command."""
    AGAIN = "again"
    """Go on with a measurement that had too little data."""
    NEXT = "next"
    BACK = "back"
    LEAVE = "leave"


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """A finished measurement. `theory` has the claims' words, `seen` the figures or reasons."""

    name: str
    verdict: Verdict
    theory: tuple[Said, ...]
    seen: tuple[Said, ...]
    requests: int
    logged_out: int
    users: int
    users_logged_out: int
    failed: int


class TourView(msgspec.Struct, frozen=True, kw_only=True):
    """The tour as the page shows it. `doing` is the name of the measurement that runs or comes next."""

    stage: TourStage
    stop: str
    number: int
    stops: tuple[str, ...]
    doing: str
    order: Order | None
    theory: tuple[Said, ...]
    requests: int
    needed: int
    measured: tuple[Measured, ...]
    again: bool
    """Whether the last measurement had too little data, and can go on."""
    verdicts: dict[str, Verdict]
    """Of the stops that were measured to their end."""


class Tour:
    """For any thread. `pace` scales the seconds of measurements: the claims' amounts of data stay."""

    def __init__(self, director: Director, pace: float = 1.0) -> None:
        self._director, self._pace = director, pace
        self._lock = threading.Lock()
        self._stage = TourStage.OUTSIDE
        self._number = 0
        self._returning = False
        """Whether the console's own cluster has to come back, as soon as the director can."""
        self._before: Cluster | None = None
        self._load: LiveLoad | None = None
        self._begun = 0.0
        self._measured: list[Measured] = []
        self._verdicts: dict[str, Verdict] = {}

    @property
    def _stop(self) -> Stop:
        return STOPS[min(self._number, len(STOPS) - 1)]

    @property
    def _next(self) -> Measurement | None:
        done = len(self._measured)
        return self._stop.measurements[done] if done < len(self._stop.measurements) else None

    @property
    def _can_go_on(self) -> bool:
        last = self._measured[-1].verdict if self._measured else None
        return self._stage is TourStage.MEASURED and last is Verdict.NOT_ENOUGH_DATA

    def take(self, step: TourStep) -> None:
        """Take a step. Raises Refused where the director refuses its command, and ClusterError."""
        with self._lock:
            self._advance()
            match step:
                case TourStep.RESUME if self._stage in {TourStage.OUTSIDE, TourStage.FINISHED}:
                    self._go(0 if self._stage is TourStage.FINISHED else self._number)
                case TourStep.NEXT if self._stage not in {TourStage.OUTSIDE, TourStage.FINISHED}:
                    self._go(self._number + 1)
                case TourStep.BACK if self._number > 0 and self._stage is not TourStage.OUTSIDE:
                    self._go(self._number - 1)
                case TourStep.LEAVE if self._stage is not TourStage.OUTSIDE:
                    self._leave()
                case TourStep.ACT if self._stage is TourStage.READY:
                    self._start()
                case TourStep.ACT if self._stage is TourStage.MEASURED and self._next is not None:
                    self._measure(self._next)
                case TourStep.AGAIN if self._can_go_on:
                    del self._measured[-1]  # its phase has not ended
                    self._begun, self._stage = now(), TourStage.MEASURING
                case _:
                    pass

    def look(self) -> TourView:
        """Move on where the figures allow it, and return the present state."""
        with self._lock:
            self._advance()
            following = self._next
            figures = self._figures(following) if following and self._stage is TourStage.MEASURING else None
            return TourView(
                stage=self._stage,
                stop=self._stop.name,
                number=self._number + 1,
                stops=tuple(stop.name for stop in STOPS),
                doing=following.name if following else "",
                order=following.order if following else None,
                theory=tuple(say(claim.text) for claim in following.claims) if following else (),
                requests=figures.as_logged_in if figures else 0,
                needed=following.min_requests if following else 0,
                measured=tuple(self._measured),
                again=self._can_go_on,
                verdicts=dict(self._verdicts),
            )

    def _go(self, number: int) -> None:
        self._number = number
        self._stage = TourStage.READY if number < len(STOPS) else TourStage.FINISHED
        self._measured, self._load = [], None

    def _leave(self) -> None:
        self._returning = True
        if self._stage is TourStage.FINISHED:
            self._number = 0
        self._stage, self._measured, self._load = TourStage.OUTSIDE, [], None

    def _start(self) -> None:
        self._before, self._load, self._measured = self._director.cluster, None, []
        self._returning = False
        self._director.post(Order("scene", to=self._stop.name))
        self._stage = TourStage.STARTING

    def _measure(self, measurement: Measurement) -> None:
        """Begin the phase, and give its command."""
        load, cluster = self._load, self._director.cluster
        assert load is not None
        assert cluster is not None  # `_advance` has looked
        load.mark(measurement.name)
        order = measurement.order
        if order is not None:
            name = cluster.store.primary() if order.on == PRIMARY else order.on
            self._director.post(Order(order.do, name, order.to))
        self._begun, self._stage = now(), TourStage.MEASURING

    def _advance(self) -> None:
        """Do what follows without the person."""
        director = self._director
        with suppress(Refused):  # then once more, at the next look
            self._return()
            self._move_on(director)

    def _return(self) -> None:
        director = self._director
        if self._stage is TourStage.OUTSIDE and self._returning and self._is_idle():
            self._returning = director.scene != OWN
            if self._returning:
                director.post(Order("scene", to=OWN))

    def _is_idle(self) -> bool:
        director = self._director
        is_settled = director.state.stage in {ClusterStage.RUNNING, ClusterStage.FAILED}
        return is_settled and director.running is None and not director.waiting

    def _move_on(self, director: Director) -> None:
        if self._stage is TourStage.STARTING:
            if director.state.stage is ClusterStage.FAILED and self._is_idle() and self._has_left():
                self._stage = TourStage.READY
            elif self._has_started():
                self._wait_for_users()
        elif self._stage in {TourStage.MEASURING, TourStage.MEASURED} and director.load is not self._load:
            self._stage, self._measured = TourStage.READY, []  # somebody has made another cluster
        elif self._stage is TourStage.MEASURING and (measurement := self._next) is not None:
            self._finish(measurement)

    def _has_started(self) -> bool:
        director = self._director
        runs = director.state.stage is ClusterStage.RUNNING and self._is_idle() and self._has_left()
        return runs and director.cluster is not None and director.load is not None

    def _has_left(self) -> bool:
        """Return whether the director has left the cluster of before for that of this stop."""
        return self._director.scene == self._stop.name and self._director.cluster is not self._before

    def _wait_for_users(self) -> None:
        load = self._director.load
        assert load is not None
        if load.users < USERS:
            self._director.post(Order("users", to=str(USERS)))
        elif load.findings.total.users >= load.users and (first := self._next) is not None:
            self._load = load
            self._measure(first)

    def _figures(self, measurement: Measurement) -> PhaseFigures:
        assert self._load is not None
        return self._load.findings.phases.get(measurement.name, PhaseFigures(seconds=0.0))

    def _finish(self, measurement: Measurement) -> None:
        """End a measurement that has lasted long enough and has enough data, or on a slow machine much longer.

        It lasts until what the checker has seen: on a busy machine findings are renewed seldom.
        """
        assert self._load is not None
        if self._director.running is not None or self._director.waiting:
            return
        figures, seconds = self._figures(measurement), measurement.seconds * self._pace
        lasted = self._load.recent.checked_until - self._begun
        if lasted < seconds or (
            figures.as_logged_in < measurement.min_requests and lasted < PATIENCE * measurement.seconds
        ):
            return
        seen = Observed(self._load.findings).within(measurement.name)
        results = [claim.check(seen) for claim in measurement.claims]
        order = list(Verdict)
        verdict = max((one.verdict for one in results), key=order.index)
        self._measured.append(
            Measured(
                name=measurement.name,
                verdict=verdict,
                theory=tuple(say(claim.text) for claim in measurement.claims),
                seen=tuple(say(one.seen or one.reason) for one in results),
                requests=figures.as_logged_in,
                logged_out=figures.logged_out,
                users=figures.users,
                users_logged_out=figures.users_logged_out,
                failed=figures.failed,
            )
        )
        if self._next is None:
            self._verdicts[self._stop.name] = max((one.verdict for one in self._measured), key=order.index)
        self._stage = TourStage.MEASURED
