"""The Express application as a running process, alone and beside a node, for tests."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote

import requests

from deploy.ports import free_ports
from loadtest.targets.install import install_express
from tests.support.node import PASSWORD, SECRET, RunningNode
from tests.support.waiting import wait_until

EXPRESS, FLASK = "express-1", "node-1"


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


class Both:
    """One browser, and both applications: at their own addresses, or at `urls` over TLS, signed by `authority`."""

    def __init__(
        self,
        express: RunningExpress,
        flask: RunningNode,
        urls: dict[str, str] | None = None,
        authority: Path | None = None,
    ) -> None:
        self.urls = urls or {EXPRESS: express.url, FLASK: flask.url}
        self.browser = requests.Session()
        self.browser.trust_env = False  # REQUESTS_CA_BUNDLE would take precedence
        self.browser.verify = str(authority) if authority else True

    def get(self, where: str, path: str = "/me") -> dict[str, Any]:
        answer = self.browser.get(self.urls[where] + path, timeout=10)
        assert answer.headers["X-Served-By"] == where
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def post(self, where: str, path: str, **body: Any) -> requests.Response:
        answer = self.browser.post(self.urls[where] + path, json=body, timeout=10)
        assert answer.status_code in {200, 204}, answer.text
        return answer

    def log_in(self, where: str) -> requests.Response:
        return self.post(where, "/login", user="alice", password=PASSWORD)

    def replayed(self, where: str, cookie: str) -> str | None:
        """Whom a browser with this cookie is taken for."""
        headers = {"Cookie": f"connect.sid={cookie}"}
        answer = requests.get(f"{self.urls[where]}/me", headers=headers, verify=self.browser.verify, timeout=10)
        user: str | None = answer.json()["user"]
        return user

    @property
    def cookie(self) -> str:
        return str(self.browser.cookies["connect.sid"])

    @property
    def id(self) -> str:
        return unquote(self.cookie)[2:].rpartition(".")[0]
