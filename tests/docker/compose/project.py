"""A compose project of its own for tests: `docker compose` in the checkout, as a person uses it."""

import json
import os
import secrets
import subprocess
from typing import Any

from deploy.compose.override import SUBNET_ERRORS, choose_subnet
from deploy.ports import free_ports
from tests.support.node import ROOT


class Compose:
    """A project with two nodes, at ports and in a subnet of its own."""

    def __init__(self) -> None:
        self.name = f"test-{secrets.token_hex(4)}"
        self.port, self.load_port, self.tls_port = free_ports(3)
        self.subnet = choose_subnet()
        self.url = f"http://127.0.0.1:{self.port}"

    def __call__(self, *arguments: str, **variables: str) -> str:
        place = ["-p", self.name, "--project-directory", str(ROOT), "--env-file", os.devnull]
        done = self._run([*place, *arguments], variables)
        if any(said in done.stderr for said in SUBNET_ERRORS):
            self.subnet = choose_subnet()
            done = self._run([*place, *arguments], variables)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _run(self, arguments: list[str], variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
        ours = {
            "PROXY_PORT": str(self.port),
            "LOCUST_PORT": str(self.load_port),
            "TLS_PORT": str(self.tls_port),
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

    def down(self, *options: str) -> None:
        """Containers and networks are removed, whatever profile they belong to."""
        self("--profile", "*", "down", "--timeout", "3", *options)

    def containers(self) -> dict[str, Any]:
        """Short name -> what the engine knows of it."""
        ids = self("ps", "--all", "--quiet").split()
        told = json.loads(subprocess.check_output(["docker", "inspect", *ids]))
        return {one["Name"].removeprefix(f"/{self.name}-"): one for one in told}

    def starts(self) -> dict[str, tuple[str, str]]:
        """Short name -> what changes when a container is recreated or restarted."""
        return {name: (one["Id"], one["State"]["StartedAt"]) for name, one in self.containers().items()}

    def passwords(self) -> dict[str, str]:
        words = self("run", "--rm", "--no-deps", "setup", "passwords").split()
        return dict(zip(words[::2], words[1::2], strict=True))
