"""A console on a cluster and a load that are not real: its page, director and sampler are."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Self

from msgspec import UNSET

from deploy import Cluster, ClusterSpec, StoreKind
from deploy.ports import free_ports
from loadtest.checker import Checker
from loadtest.console.board import Board, Order
from loadtest.console.commands import ClusterStage
from loadtest.console.director import Director, with_store
from loadtest.console.live_load import LATE, Recent
from loadtest.console.sampler import Sampler
from loadtest.console.server import Console, PageThread
from loadtest.experiment import Place
from loadtest.history import Action, Op, OpOutcome, now
from tests.support.fake_cluster import FakeCluster
from tests.support.waiting import wait_until


class FakeLoad:
    """Operations that the test says; figures and findings are the real ones."""

    def __init__(self, users: int) -> None:
        self.users, self.started, self.is_paused = users, now(), False
        self.recent = Recent()
        self._checker = Checker()
        self._logged_in: set[str] = set()
        self.findings = self._checker.findings()

    def sample(self) -> None: ...

    def set_users(self, users: int) -> None:
        self.users = users

    def pause(self) -> None:
        self.is_paused = True

    def resume(self) -> None:
        self.is_paused = False

    def mark(self, name: str) -> None: ...

    def feed(
        self, address: str, *, ago: float = LATE + 1, status: int = 200, user: str | None = "", count: int = 1
    ) -> None:
        """Add answers of some seconds ago, which show their user as logged in, or nobody (None)."""
        for number in range(count):
            ended = now() - ago
            name = f"user-{number % max(self.users, 1)}"
            action = Action.LOOK if name in self._logged_in or user is None else Action.LOGIN
            op = _make_op(action, name, address, ended, status, user if user is None else name)
            self._logged_in |= {name} if op.outcome is OpOutcome.OK and user is not None else set()
            self._checker.feed(op)
            self.recent.add(op)
        self.findings = self._checker.findings()
        self.recent.take_logged_out(self._checker.logged_out_at, now() - LATE)


def _make_op(action: Action, name: str, address: str, ended: float, status: int, user: str | None) -> Op:
    ok = status < 500
    return Op(
        who=name,
        account=name,
        session=f"session-{name}",
        action=action,
        outcome=OpOutcome.OK if ok else OpOutcome.FAIL,
        user=user if ok else UNSET,
        method="GET",
        path="/me",
        status=status,
        error="" if ok else f"status {status}",
        upstream=address,
        upstream_status=str(status),
        started=ended - 0.006,
        ended=ended,
    )


class FakeConsole:
    """A context manager: the page is at `address`, the cluster is a `FakeCluster`."""

    def __init__(self, folder: Path, *, nodes: int = 3, store: StoreKind = StoreKind.REDIS, users: int = 20) -> None:
        self.board = Board()
        self.clusters: list[FakeCluster] = []
        spec = with_store(ClusterSpec(nodes=nodes), store)
        self.director = Director(spec, None, self._make, self.board, folder, keep=False)
        self._users = users
        self.console = Console(self.board, self.director, free_ports(1)[0])
        self.sampler = Sampler(self.director, self.board, Place.LOCAL)
        self.page = PageThread(self.console)
        self.load = FakeLoad(users)

    @property
    def address(self) -> str:
        return self.console.address

    @property
    def cluster(self) -> FakeCluster:
        return self.clusters[-1]

    def post(self, do: str, on: str = "", to: str = "") -> None:
        self.director.post(Order(do, on, to))

    def start_load(self) -> FakeLoad:
        """Put a load on the cluster."""
        self.load = FakeLoad(self._users)
        self.director.load = self.load  # type: ignore[assignment]
        return self.load

    def address_of(self, name: str) -> str:
        return next(member.address for member in self.cluster.members() if member.name == name)

    def __enter__(self) -> Self:
        threading.Thread(target=self.director.run, daemon=True).start()
        wait_until(lambda: self.director.look().stage is ClusterStage.RUNNING, "the cluster runs")
        self.sampler.start()
        self.page.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self.sampler.stop()
        self.page.stop()

    def _make(self, spec: ClusterSpec) -> Cluster:
        self.clusters.append(FakeCluster(spec))
        return self.clusters[-1]
