"""Runs a scene: the cluster up, the users on it, one phase after another, everything down again."""

import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from deploy import Cluster, ClusterSpec
from loadtest.arrival import ARRIVAL, ARRIVAL_TIMEOUT, POLL, wait_arrived
from loadtest.demo.scenes import Outcome, Phase, Scene, outcome
from loadtest.old_generator import Generator
from loadtest.progress import Status, Watch
from loadtest.protocol import Progress, Start

# A look now and then: on two cores that also run the cluster, thirty users must leave room for the logins, because a
# password hash costs some 20 ms of CPU on purpose, and where every second request misses, every third is a login.
WAIT = (0.2, 0.8)
# On a machine that is too slow to see enough in the time given, a phase may take up to so many times as long.
PATIENCE = 5
SPAWN_SECONDS = 1.0
READY_TIMEOUT = 30.0
# The actions themselves (a drain above all) take their own time; no scene takes longer than this on top.
SLACK = 90.0 + ARRIVAL_TIMEOUT


class MakeCluster(Protocol):
    def __call__(self, spec: ClusterSpec) -> AbstractContextManager[Cluster]: ...


@dataclass(frozen=True)
class Effort:
    """How many users, and for how many seconds a scene measures: its phases share them."""

    users: int
    seconds: float


def run(
    scene: Scene,
    effort: Effort,
    make_cluster: MakeCluster,
    status: Status,
    watch: Watch,
    history: Path | None = None,
) -> Outcome:
    """Run one scene; where a file is named, with its history. Raises ClusterError or GeneratorError; nothing is left
    running, whatever happens."""
    share = effort.seconds / len(scene.phases)
    watch(status)
    with Generator() as generator, make_cluster(scene.spec) as cluster:
        cluster.wait_ready(timeout=READY_TIMEOUT)
        generator.start(
            Start(
                url=cluster.url,
                accounts=dict(cluster.users),
                users=effort.users,
                spawn_rate=effort.users / SPAWN_SECONDS,
                phase=ARRIVAL,
                wait=WAIT,
                time_limit=PATIENCE * effort.seconds + SLACK,
                history=None if history is None else str(history),
            )
        )
        _say(ARRIVAL, status, watch)
        wait_arrived(effort.users, generator, lambda: _look(generator, status, watch))
        for phase in scene.phases:
            generator.enter(phase.name)
            _say(phase.name, status, watch)
            if phase.action is not None:
                phase.action(cluster)
            _measure(phase, share, generator, status, watch)
        figures = generator.stop()
        versions = dict(cluster.versions)
        _say("stopping", status, watch)
    return replace(outcome(scene, *figures), versions=versions)


def _measure(phase: Phase, seconds: float, generator: Generator, status: Status, watch: Watch) -> None:
    status.turn(phase.name, seconds=seconds)
    now, latest = time.monotonic(), time.monotonic() + PATIENCE * seconds
    while now < status.ends or (now < latest and not _enough(phase, generator.progress)):
        _look(generator, status, watch)
        time.sleep(POLL)
        now = time.monotonic()


def _enough(phase: Phase, progress: Progress | None) -> bool:
    return (
        progress is not None
        and progress.figures.phase == phase.name
        and progress.figures.as_logged_in >= phase.min_requests
    )


def _say(doing: str, status: Status, watch: Watch) -> None:
    status.turn(doing)
    watch(status)


def _look(generator: Generator, status: Status, watch: Watch) -> None:
    generator.check()
    status.progress = generator.progress
    watch(status)
