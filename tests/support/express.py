"""The Express application as a running process, alone and beside a node, for tests."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from loadtest.targets.install import install_express
from tests.support.node import PASSWORD, SECRET
from tests.support.servers import RunningServer


class RunningExpress(RunningServer):
    """`node app.js`; `settings` are environment variables."""

    def __init__(self, folder: Path, **settings: str) -> None:
        super().__init__(folder / "express.log")
        users = folder / "passwords.json"
        users.write_text(json.dumps({"users": {"alice": PASSWORD, "bob": PASSWORD}}))
        self._environment = {
            "PATH": os.environ["PATH"],
            "PORT": str(self.port),
            "SESSION_SECRETS": SECRET,
            "CLUSTER_USERS_FILE": str(users),
            **settings,
        }

    def start(self) -> subprocess.Popen[bytes]:
        app = install_express() / "app.js"
        with self.log.open("wb") as log:
            return subprocess.Popen(["node", str(app)], env=self._environment, stdout=log, stderr=log)
