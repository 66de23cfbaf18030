"""A client of a console that runs, as a script uses it: with the token of the printed address."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from tests.support.waiting import wait_until


class ConsoleClient:
    """`address` is the printed one. It keeps the cookie of the view "Session": its steps are of one visitor."""

    def __init__(self, address: str) -> None:
        self._place, _, self._token = address.partition("?token=")
        self._visitor = ""

    def answer(self, path: str, order: dict[str, str] | None = None) -> tuple[int, Any]:
        """Return status and JSON of the answer to a GET, or to a POST of an order."""
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        headers |= {"Cookie": self._visitor} if self._visitor else {}
        body = None if order is None else json.dumps(order).encode()
        try:
            with urllib.request.urlopen(
                urllib.request.Request(self._place + path, body, headers), timeout=20
            ) as answer:
                self._visitor = (answer.headers["Set-Cookie"] or "").partition(";")[0] or self._visitor
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def ask(self, path: str, order: dict[str, str] | None = None) -> Any:
        """Return the JSON of a good answer."""
        status, found = self.answer(path, order)
        assert status < 400, found
        return found

    def state(self) -> Any:
        """Return the newest snapshot, as soon as there is one."""
        return wait_until(lambda: self.ask("state"), "the console looks at the cluster")

    def member(self, name: str) -> Any:
        """Return a member of the newest snapshot; its state is empty if there is none of this name."""
        return next((one for one in self.state()["members"] if one["name"] == name), {"state": ""})

    def operations(self) -> int:
        """Return how many operations the virtual users have made."""
        figures = self.state()["figures"]
        return figures["operations"] if figures else 0

    def step(self, do: str, on: str = "") -> Any:
        """Carry out a step of the view "Session"; return its exchange."""
        return self.ask("session/steps", {"do": do, **({"on": on} if on else {})})["exchanges"][-1]

    def assert_session_works(self, *nodes: str) -> None:
        """Fail unless a session can be followed from login to logout, through the proxy and at each node."""
        user = self.ask("session/")["user"]
        assert self.step("login")["status"] == 200
        assert self.step("cart")["status"] == 200
        for node in nodes:
            asked = self.step("ask", node)
            assert (asked["status"], asked["via"]) == (200, node)
            assert json.loads(asked["response_body"])["user"] == user
        assert json.loads(self.step("forge")["response_body"])["user"] is None
        assert self.ask("session/")["record"]["found"] == "foreign"  # the store can't be reached from here
        assert self.step("logout")["status"] == 204
        assert json.loads(self.step("replay")["response_body"])["user"] is None
