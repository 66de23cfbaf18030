"""The stages of a run, with how long each takes: what comes next, and how much time is left."""

import time
from dataclasses import dataclass

from loadtest.arrival import ARRIVAL
from loadtest.experiment import Case
from loadtest.progress import Status

STARTING, BEFORE, FAULT, DURING, UNDO, AFTER, CHECKING = (
    "starting",
    "before",
    "fault",
    "during",
    "undo",
    "after",
    "checking",
)
LEAST_WATCHED = 3.5
# On a machine of two cores that are busy.
_STARTING, _ARRIVING, _UNDO, _CHECKING = 4.0, 2.0, 1.5, 2.5


@dataclass(frozen=True)
class Stage:
    """`exact`: it takes so long, and not about so long."""

    name: str
    words: str
    seconds: float
    exact: bool = False


def _watched(during: float, share: float) -> float:
    """Never so short that the claims would have too little data."""
    return max(during * share, min(during, LEAST_WATCHED))


class Course:
    """The stages of one case; `later` are the seconds that all other cases still take."""

    def __init__(self, case: Case, share: float, status: Status, later: float) -> None:
        experiment, fault = case.experiment, case.variant.fault
        breaking = fault.seconds > 0
        self.stages = [
            Stage(STARTING, "starting", _STARTING),
            Stage(ARRIVAL, "users arrive", _ARRIVING),
            Stage(BEFORE, "steady", experiment.before * share, exact=True),
            Stage(FAULT, fault.what if breaking else "", fault.seconds),
            Stage(DURING, f"after: {fault.what}" if breaking else "watching", _watched(experiment.during, share), True),
            Stage(UNDO, "undoing it" if breaking else "", _UNDO),
            Stage(AFTER, "steady again", experiment.after * share, exact=True),
            Stage(CHECKING, "checking", _CHECKING),
        ]
        self.status, self._later = status, later

    @property
    def seconds(self) -> float:
        """About how long all of it takes."""
        return sum(stage.seconds for stage in self.stages)

    def stage(self, name: str) -> Stage:
        return next(stage for stage in self.stages if stage.name == name)

    def enter(self, name: str) -> Stage:
        """Say that this stage has begun."""
        position = [stage.name for stage in self.stages].index(name)
        stage, rest = self.stages[position], self.stages[position + 1 :]
        then = next((following.words for following in rest if following.words), "")
        self.status.turn(stage.words or self.status.doing, then, stage.seconds if stage.exact else 0.0)
        self.status.over = time.monotonic() + sum(one.seconds for one in self.stages[position:]) + self._later
        return stage
