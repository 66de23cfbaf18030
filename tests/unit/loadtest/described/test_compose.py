"""A compose project that a target's file names, with an engine that only notes what it is asked."""

import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from deploy import ClusterError
from loadtest.described import compose as compose_runtime
from loadtest.described import runtime as runtimes
from loadtest.described.compose import ServicesCluster
from tests.support.described import write_target

RUNTIME = """[runtime]
kind = "compose"
file = "compose.yaml"
project = "shop"
environment = { DATA = "{state}/db" }
roles.node = ["web"]
"""
LABEL = "com.docker.compose"


class FakeEngine:
    """The volumes and the containers' mounts of one engine; what ran, with its variables."""

    volumes = {"old", "shop_old", "others"}  # noqa: RUF012
    mounts: dict[str, list[str]] = {}  # noqa: RUF012
    ran: list[tuple[str, Mapping[str, str]]] = []  # noqa: RUF012
    files: list[str] = ["compose.yaml"]  # noqa: RUF012
    services: dict[str, dict[str, Any]] = {"web": {}}  # noqa: RUF012

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables

    def run(self, command: list[str], timeout: float) -> bytes:
        assert [Path(after).name for one, after in pairwise(command) if one == "-f"] == self.files
        word = next(one for one in command if one in {"config", "up", "down", "stop"})
        self.ran.append((word, self._variables))
        if word == "up":
            count = next((int(one.partition("=")[2]) for one in command if one.startswith("web=")), 2)
            self.mounts.update({f"c{n}": ["old", f"anonymous-{n}", "shop_data"] for n in range(1, count + 1)})
            for name in [name for name in self.mounts if int(name[1:]) > count]:
                del self.mounts[name]
            self.volumes.update({"shop_data", "meanwhile"}, *self.mounts.values())
        elif word == "down":
            self.mounts.clear()
        return json.dumps({"name": "shop", "services": self.services}).encode()

    def inspect(self, *_: str) -> list[dict[str, Any]]:
        return [{"Mounts": [{"Type": "bind", "Source": "/x"}, *({"Type": "volume", "Name": one} for one in names)]}
                for names in self.mounts.values()]  # fmt: skip

    def containers_of(self, _: str) -> list[Any]:
        return []

    def docker(self, *words: str) -> str:
        if words[:2] == ("volume", "rm"):
            self.volumes.difference_update(words[2:])
        labelled = any(word.startswith("label=") for word in words)
        return "\n".join(one for one in self.volumes if not labelled or one.startswith("shop"))


@pytest.fixture(autouse=True)
def compose_file(tmp_path: Path) -> Path:
    file = tmp_path / "compose.yaml"
    file.touch()
    return file


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> type[FakeEngine]:
    fresh = type("Fresh", (FakeEngine,), {"volumes": set(FakeEngine.volumes), "mounts": {}, "ran": []})
    monkeypatch.setattr(compose_runtime, "Engine", fresh)
    monkeypatch.setattr(runtimes, "answers", lambda *_: True)
    monkeypatch.setattr(ServicesCluster, "_require_alive", lambda *_: None)
    return fresh


@pytest.mark.parametrize(
    ("service", "names"),
    [
        ({}, ["shop-web-1"]),
        ({"scale": 2}, ["shop-web-1", "shop-web-2"]),
        ({"deploy": {"replicas": 2}}, ["shop-web-1", "shop-web-2"]),
        ({"container_name": "front"}, ["front"]),
    ],
)
def test_containers_are_named_before_they_exist(
    tmp_path: Path, engine: type[FakeEngine], service: dict[str, Any], names: list[str]
) -> None:
    engine.services = {"web": service}
    assert list(ServicesCluster(write_target(tmp_path, RUNTIME)).own_names().values()) == names


def test_commands_of_compose_know_the_state_folder_while_the_target_runs(
    tmp_path: Path, engine: type[FakeEngine]
) -> None:
    cluster = ServicesCluster(write_target(tmp_path, RUNTIME))
    for _ in range(2):  # each run has a folder of its own
        engine.ran.clear()
        with cluster:
            folder = str(cluster.state_folder)
        given = {word: variables for word, variables in engine.ran if word in {"up", "down"}}
        assert given.keys() == {"up", "down"}
        for variables in given.values():
            assert (variables["DATA"], variables["STATE"]) == (f"{folder}/db", folder)


def test_every_command_has_all_files_of_the_project(
    tmp_path: Path, engine: type[FakeEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "more.yaml").touch()
    monkeypatch.setattr(engine, "files", ["compose.yaml", "more.yaml"])
    text = RUNTIME.replace('"compose.yaml"', '["compose.yaml", "more.yaml"]')
    cluster = ServicesCluster(write_target(tmp_path, text))
    cluster.check()
    with cluster:
        monkeypatch.setattr(ServicesCluster, "node_count", property(lambda _: 3))
        cluster._scale(3)
    assert {word for word, _ in engine.ran} == {"config", "up", "down"}
    again = ServicesCluster(write_target(tmp_path, text.replace("web", "wbe")))
    with pytest.raises(ClusterError, match=r"compose\.yaml, more\.yaml has no service 'wbe': did you mean 'web'?"):
        again.check()


@pytest.mark.parametrize(
    ("ports", "made_with", "why"),
    [
        ({"80/tcp": [{"HostPort": "9"}]}, {}, ""),
        ({}, {"80/tcp": [{"HostPort": "9"}]}, ""),
        ({"80/tcp": [{"HostPort": "8080"}], "90/tcp": None}, {"80/tcp": [{"HostPort": ""}]}, "published: 8080"),
        ({}, None, "published: none"),
    ],
)
def test_a_port_that_a_container_asks_for_is_published_while_it_waits_for_its_restart(
    tmp_path: Path,
    engine: type[FakeEngine],
    monkeypatch: pytest.MonkeyPatch,
    ports: dict[str, Any],
    made_with: dict[str, Any] | None,
    why: str,
) -> None:
    container = {
        "NetworkSettings": {"Ports": ports},
        "HostConfig": {"NetworkMode": "shop_default", "PortBindings": made_with},
    }
    monkeypatch.setattr(engine, "inspect", lambda *_: [container])
    found = ServicesCluster(write_target(tmp_path, RUNTIME))._find_silence()
    assert found == (f"no container of shop publishes port 9; {why}" if why else "")


def test_anonymous_volumes_of_a_project_go_with_it(
    tmp_path: Path, engine: type[FakeEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = ServicesCluster(write_target(tmp_path, RUNTIME))
    before = set(engine.volumes)
    with cluster:
        assert {"anonymous-1", "anonymous-2", "shop_data"} <= engine.volumes
        monkeypatch.setattr(ServicesCluster, "node_count", property(lambda _: 3))
        cluster._scale(3)
        monkeypatch.setattr(ServicesCluster, "node_count", property(lambda _: 1))
        cluster._scale(1)
        assert "anonymous-3" in engine.volumes
    assert engine.volumes == before | {"meanwhile"}, "one that is somebody else's stays"


def test_a_container_that_cannot_be_unpaused_does_not_keep_the_project(
    tmp_path: Path, engine: type[FakeEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = ServicesCluster(write_target(tmp_path, RUNTIME))
    before = set(engine.volumes)
    cluster.start()

    def refuse(*_: str) -> list[Any]:
        raise ClusterError("docker unpause: no such container")

    monkeypatch.setattr(engine, "containers_of", refuse)
    with pytest.raises(ClusterError, match="no such container"):
        cluster.stop()
    assert engine.ran[-1][0] == "down"
    assert engine.volumes == before | {"meanwhile"}
