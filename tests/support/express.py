"""The Express application as a running process, alone and beside a node, for tests."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import IO

import requests

from deploy.ports import free_ports
from loadtest.targets.install import install_express
from tests.support.node import PASSWORD, SECRET
from tests.support.waiting import wait_until


class RunningExpress:
    """`node app.js` from `with` to its end; `settings` are environment variables."""

    def __init__(self, folder: Path, **settings: str) -> None:
        users = folder / "passwords.json"
        users.write_text(json.dumps({"users": {"alice": PASSWORD, "bob": PASSWORD}}))
        self.port = free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = folder / "express.log"
        self._environment = {
            "PATH": os.environ["PATH"],
            "PORT": str(self.port),
            "SESSION_SECRETS": SECRET,
            "CLUSTER_USERS_FILE": str(users),
            **settings,
        }

    def __enter__(self) -> RunningExpress:
        app = install_express() / "app.js"
        log: IO[bytes]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(["node", str(app)], env=self._environment, stdout=log, stderr=log)
        wait_until(self._lives)
        return self

    def _lives(self) -> bool:
        assert self.process.poll() is None, self._log.read_text()
        try:
            return requests.get(f"{self.url}/live", timeout=5).status_code == 200
        except requests.ConnectionError:
            return False

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(timeout=20)
