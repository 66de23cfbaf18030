"""A scene as a result that the report shows: its history, what the checker finds in it, and the scene's own verdict."""

from pathlib import Path

from loadtest.checker.check import check
from loadtest.demo.scenes import Outcome
from loadtest.history import Event, Mark, read
from loadtest.protocol import Mix
from loadtest.report.sentences import NOTHING
from loadtest.results import HISTORY, Held, Place, Result, Timing, describe, machine, versions, write


def history_of(folder: Path, scene: str) -> Path:
    """Where the load generator writes the history of a scene; its folder is made. Raises OSError."""
    place = folder / scene / "1"
    place.mkdir(parents=True, exist_ok=True)
    return place / HISTORY


def keep(folder: Path, number: int, outcome: Outcome, users: int) -> None:
    """Writes the result beside its history. Raises OSError and HistoryError."""
    scene, ruling = outcome.scene, outcome.ruling
    path = history_of(folder, scene.name)
    events = list(read(path))
    actions = [phase.name for phase in scene.phases if phase.action is not None]
    parts = (outcome.arrival, *outcome.parts)
    result = Result(
        number=number,
        name=scene.name,
        variant="",
        position=0,
        run=1,
        title=scene.title,
        hypothesis=scene.lesson,
        reference="",
        fault=", then ".join(actions) or NOTHING,
        mix=Mix.EVERYDAY,
        place=Place.LOCAL,
        users=users,
        verdict=ruling.verdict,
        reason=ruling.reason,
        claims=tuple(
            Held(claim=part.phase.name, verdict=part.ruling.verdict, reason=part.ruling.reason) for part in parts
        ),
        timing=_timing(events, scene.phases[0].name, actions),
        findings=check(events),
        generator_cpu=max(part.figures.generator_cpu for part in parts),
        cluster=describe(scene.spec),
        versions=versions(outcome.versions),
        machine=machine(),
        command=f"session-cluster demo --scene {scene.name} --users {users}",
    )
    write(path.parent, result)


def _timing(events: list[Event], first: str, actions: list[str]) -> Timing:
    marks = [event for event in events if isinstance(event, Mark)]
    at = {mark.name: mark.at for mark in marks}
    before, ended = at[first], at["end"]
    fault = at[actions[0]] if actions else before
    return Timing(started=marks[0].at, before=before, fault=fault, faulty=fault, undo=ended, undone=ended, ended=ended)
