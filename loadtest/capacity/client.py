"""Send requests of the sessions of a filled store, in a process of its own whose CPU does not count.

    python -m loadtest.capacity.client

reads a plan from each line of its input, and answers with the seconds that it took and the bytes of all requests and
answers, or with an error: an answer was not the one for its session. All of them are JSON.
"""

from __future__ import annotations

import json
import os
import random
import socket
import sys
from pathlib import Path
from typing import Any

from loadtest.bench.client import get, request_for, use_connections
from loadtest.capacity.figures import RequestKind
from loadtest.capacity.population import Population, owner

HEADERS = (
    "Accept: application/json\r\n"
    "Accept-Encoding: gzip, deflate, br\r\n"
    "Accept-Language: en-GB,en;q=0.7\r\n"
    "Sec-Fetch-Dest: empty\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Site: same-origin\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n"
)
"""The headers of a script on a page, as browsers send them."""


class Requests:
    """Makes requests of random sessions, and knows their answers."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._population = Population(plan["seed"])
        self._secret = Path(plan["secrets_file"]).read_bytes().split()[0]
        self._plan = plan

    def make(self, choice: random.Random) -> tuple[bytes, bytes]:
        """Return a request, and text that its answer must have."""
        plan = self._plan
        if plan["kind"] == RequestKind.LOGIN:
            body = json.dumps({"user": owner(0), "password": plan["password"]}).encode()
            headers = f"{HEADERS}Content-Type: application/json\r\n"
            return request_for("/login", headers=headers, body=body), f'"user":"{owner(0)}"'.encode()
        number = choice.randrange(plan["sessions"])
        cookie = f"{plan['cookie']}={self._population.cookie(number, self._secret)}"
        if choice.random() < plan["writes"]:
            return request_for("/visits", cookie, HEADERS, b""), b'{"visits":'
        return request_for("/me", cookie, HEADERS), f'"user":"{owner(number)}"'.encode()


def load(plan: dict[str, Any]) -> tuple[float, float]:
    """Send the plan's requests over its connections in parallel. Return seconds and bytes. Raises OSError."""
    requests = Requests(plan)
    bytes_moved = [0] * plan["connections"]

    def send(connection: socket.socket, number: int) -> None:
        choice = random.Random(f"{plan['seed']} {plan['round']} {number}")  # noqa: S311 - a choice of sessions, no secret
        for _ in range(plan["requests"] // plan["connections"]):
            request, expected = requests.make(choice)
            head, body = get(connection, request)
            if expected not in body:
                raise ConnectionError(f"an answer without {expected.decode()}: {body[:80]!r}")
            bytes_moved[number] += len(request) + len(head) + 4 + len(body)

    return use_connections(plan["port"], plan["connections"], send), sum(bytes_moved)


def main() -> None:
    for line in sys.stdin:
        plan = json.loads(line)
        try:
            seconds, moved = load(plan)
            answer: dict[str, float | str] = {"seconds": seconds, "bytes": moved}
        except OSError as error:
            answer = {"error": f"{plan['kind']}: {error}"}
        try:
            print(json.dumps(answer), flush=True)
        except BrokenPipeError:  # the command was killed
            os._exit(1)


if __name__ == "__main__":
    main()
