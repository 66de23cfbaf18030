"""A compose project of its own for tests: `docker compose` in the checkout, as a person uses it."""

import json
import os
import secrets
import subprocess
from pathlib import Path
from typing import Any

from deploy.compose.override import SUBNET_ERRORS, choose_subnet
from deploy.ports import free_ports
from tests.support.node import ROOT
from tests.support.traffic import served_by
from tests.support.waiting import wait_until

NODES = {"node-1", "node-2"}


class Compose:
    """A project with two nodes, at ports and in a subnet of its own, from the compose.yaml of `checkout`."""

    def __init__(self, checkout: Path = ROOT) -> None:
        self.checkout = checkout
        self.name = f"test-{secrets.token_hex(4)}"
        self.port, self.load_port, self.tls_port, self.console_port, self.prometheus_port = free_ports(5)
        self.subnet = choose_subnet()
        self.url = f"http://127.0.0.1:{self.port}"

    def __call__(self, *arguments: str, **variables: str) -> str:
        # With its name alone, `down` would not know that the project has the service `image`, and leave that.
        file = ["-f", str(self.checkout / "compose.yaml")]
        place = ["-p", self.name, *file, "--project-directory", str(self.checkout), "--env-file", os.devnull]
        done = self._run([*place, *arguments], variables)
        if any(error in done.stderr for error in SUBNET_ERRORS):
            self.subnet = choose_subnet()
            done = self._run([*place, *arguments], variables)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _run(self, arguments: list[str], variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
        ours = {
            "PROXY_PORT": str(self.port),
            "LOCUST_PORT": str(self.load_port),
            "TLS_PORT": str(self.tls_port),
            "CONSOLE_PORT": str(self.console_port),
            "PROMETHEUS_PORT": str(self.prometheus_port),
            "STORE_SUBNET": self.subnet,
            "NODES": "2",
        }
        return subprocess.run(
            ["docker", "compose", *arguments],
            capture_output=True,
            text=True,
            env={**os.environ, **ours, **variables},
            timeout=110,
        )

    def up(self, *arguments: str, **variables: str) -> None:
        self("up", "--detach", "--wait", "--no-build", *arguments, **variables)

    def serve(self, servers: set[str] = NODES, /, **variables: str) -> None:
        """Start with these settings. Return when the proxy has learned the addresses of all servers from Docker's DNS,
        some seconds after they are recreated."""
        self.up("--remove-orphans", **variables)
        wait_until(lambda: served_by(self.url, 6) == servers, "all of them serve")

    def down(self, *options: str) -> None:
        """Containers and networks are removed, whatever profile they belong to."""
        self("--profile", "*", "down", "--timeout", "3", *options)

    def containers(self) -> dict[str, Any]:
        """Return the engine's description of each container, by its name without the project's."""
        ids = self("ps", "--all", "--quiet").split()
        inspected = json.loads(subprocess.check_output(["docker", "inspect", *ids]))
        return {one["Name"].removeprefix(f"/{self.name}-"): one for one in inspected}

    def network(self, name: str) -> Any:
        """Return the engine's description of one of the project's networks."""
        return json.loads(subprocess.check_output(["docker", "network", "inspect", f"{self.name}_{name}"]))[0]

    def files(self, service: str) -> set[str]:
        """Return the files in the volumes of a service."""
        found = self("--profile", "*", "exec", "-T", service, "find", "/cluster", "-type", "f").split()
        return {path.removeprefix("/cluster/") for path in found}

    def assert_unprivileged(self) -> None:
        """Fail if a container may do more than it needs, or has a port other than the proxy's on this machine."""
        for name, one in self.containers().items():
            settings = one["HostConfig"]
            assert one["Config"]["User"] in {"app", "nginx", "redis"}, name
            assert settings["ReadonlyRootfs"], name
            assert settings["CapDrop"] == ["ALL"], name
            assert settings["SecurityOpt"] == ["no-new-privileges:true"], name
            assert not settings["Privileged"], name
            ports = [port for ports in settings["PortBindings"].values() for port in ports]
            expected = [{"HostIp": "127.0.0.1", "HostPort": str(self.port)}] if name == "proxy-1" else []
            assert ports == expected, name
            if one["State"]["Running"]:
                top = subprocess.check_output(["docker", "top", one["Id"], "-o", "pid,uid"], text=True)
                assert "0" not in {line.split()[1] for line in top.splitlines()[1:]}, name

    def starts(self) -> dict[str, tuple[str, str]]:
        """Return what changes when a container is recreated or restarted."""
        return {name: (one["Id"], one["State"]["StartedAt"]) for name, one in self.containers().items()}

    def passwords(self) -> dict[str, str]:
        words = self("run", "--rm", "--no-deps", "setup", "passwords").split()
        return dict(zip(words[::2], words[1::2], strict=True))

    def accounts(self, *arguments: str, node: int = 1) -> str:
        """Run `python -m nodes.accounts` in a node; return its output."""
        command = ("python", "-m", "nodes.accounts", *arguments)
        return self("exec", "-T", "--index", str(node), "node", *command)
