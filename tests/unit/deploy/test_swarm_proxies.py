"""The proxies of a stack on Swarm: all of them have one configuration, also after one has refused another."""

import os
from pathlib import Path
from typing import Any

import pytest

from deploy.cluster import MemberState
from deploy.spec import ClusterError, ClusterSpec
from deploy.swarm.machines import _in_network
from deploy.swarm.servers import SwarmProxy
from proxy import Balance, UpstreamServer


class Proxies:
    """Engine of two containers with an nginx, of which `two` may refuse another configuration."""

    refuses = False

    def __init__(self) -> None:
        self.files = {"one": "", "two": ""}
        self.reloads = {"one": 1, "two": 1}

    def engine(self, _: str) -> "Proxies":
        return self

    def find(self) -> dict[str, Any]:
        class Container:
            state, machine = MemberState.RUNNING, "machine-1"

            def __init__(self, name: str) -> None:
                self.id = name

        return {f"proxy-{name}": Container(name) for name in self.files}

    def docker(self, *words: str, stdin: str = "") -> str:
        (name,) = self.files.keys() & set(words)
        if "sh" in words:
            self.files[name] = stdin
        elif "-t" in words and self.refuses and name == "two":
            raise ClusterError("unknown directive")
        elif "kill" in words:
            self.reloads[name] += 1
        elif "top" in words:
            return f"PID ARGS\n{self.reloads[name]} nginx: worker process"
        return self.files[name]


def test_where_one_proxy_refuses_a_configuration_all_keep_the_one_before() -> None:
    proxies: Any = Proxies()
    proxy = SwarmProxy(proxies, ClusterSpec(), proxies.find)
    nodes = [UpstreamServer("10.0.0.1:8000", "node-1")]
    proxy.install(nodes, Balance.ROUND_ROBIN)
    before = dict(proxies.files)
    proxies.refuses = True
    with pytest.raises(ClusterError, match="refuses the configuration: unknown directive"):
        proxy.install([*nodes, UpstreamServer("10.0.0.2:8000", "node-2")], Balance.ROUND_ROBIN)
    assert proxies.files == before
    assert before["one"] == before["two"] != ""
    assert proxies.reloads["one"] % 2 == 0, "it was told to use the old one again"


def test_a_command_in_a_network_that_does_not_end_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nsenter").write_text('#!/bin/sh\nshift\nexec "$@"\n')  # it needs no namespace, nor root
    (tmp_path / "nsenter").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr("deploy.swarm.machines._SECONDS_OF_A_COMMAND", 0.1)
    with pytest.raises(ClusterError, match="`sleep 30` did not end within 0 s"):
        _in_network("/proc/self/ns/net", ["sleep", "30"])
