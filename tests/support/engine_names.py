"""The DNS of an engine with a compose project "my-shop", and the cluster that a container in it watches."""

from __future__ import annotations

from deploy import ClusterSpec, StoreKind
from deploy.compose.watched import EngineNames, WatchedCluster


class Engine(EngineNames):
    """The engine's DNS; `nodes` has the numbers of the containers that run or are paused."""

    def __init__(self, *nodes: int) -> None:
        self.nodes, self.silent, self.now, self.has_names = set(nodes), set[str](), 0.0, True

    def addresses(self, service: str) -> tuple[str, ...]:
        nodes = tuple(f"10.0.0.{number}" for number in sorted(self.nodes))
        return nodes if service == "node" else ("10.0.0.99",)

    def container(self, address: str) -> str:
        number = address.rpartition(".")[2]
        if not self.has_names:
            return ""
        return "my-shop-proxy-1.my-shop_app" if number == "99" else f"my-shop-node-{number}.my-shop_app"

    def answers(self, address: str, _path: str) -> bool:
        return address not in self.silent

    def watch(self, store: StoreKind = StoreKind.REDIS) -> WatchedCluster:
        spec = ClusterSpec(store=store)
        return WatchedCluster(
            spec,
            {"alice": "secret"},
            "http://127.0.0.1:8080",
            names=self,
            answers=self.answers,
            clock=lambda: self.now,
        )
