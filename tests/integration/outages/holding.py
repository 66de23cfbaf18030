"""The expected answers during each fault, and their comparison. docs/outages.md prints the table."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import unquote

import requests

from nodes.sessions import cookie
from tests.integration.outages.observed import KINDS, LOGOUT, READ, WRITE, AliceBrowser
from tests.support.node import RunningNode
from tests.support.waiting import wait_until

EXPECTED = {
    "Redis killed": "503 503 503 503 ok 503",
    "Redis silent": "503 503 503 503 ok 503",
    "Redis full": "ok 503 503 ok ok ok",
    "Redis slow, within the budget": "ok ok ok ok ok ok",
    "Redis slower than the budget": "503 503 503 503 ok 503",
    "Redis: its name is not known": "503 503 503 503 ok 503",
    "Redis: record damaged": "anonymous ok ok ok ok ok",
    "Redis: record of a later version": "503 503 ok ok ok ok",
    "files: disk full": "ok 503 503 ok ok ok",
    "files: folder gone": "503 503 503 503 ok 503",
    "files: record damaged": "anonymous ok ok ok ok ok",
    "files: record of a later version": "503 503 ok ok ok ok",
    "Express, in Redis: killed": "503 503 503 503 ok 503",
    "Express, in Redis: record damaged": "anonymous ok ok ok ok ok",
    "encrypted: key unknown": "503 503 ok ok ok ok",
    "encrypted: a node has no key": "503 503 ok ok ok ok",
    "memory full": "ok ok 503 ok ok ok",
    "SQLite: locked by another": "ok 503 503 503 ok ok",
    "SQLite: disk full": "ok 503 503 503 ok ok",
    "SQLite: record damaged": "anonymous ok ok ok ok ok",
    "SQLite: record of a later version": "503 503 ok ok ok ok",
    "MySQL killed": "503 503 503 503 ok 503",
    "MySQL silent": "503 503 503 503 ok 503",
    "MySQL: disk full": "ok ok 503 ok ok ok",
    "MySQL: record damaged": "anonymous ok ok ok ok ok",
    "MySQL: record of a later version": "503 503 ok ok ok ok",
    "PostgreSQL killed": "503 503 503 503 ok 503",
    "PostgreSQL silent": "503 503 503 503 ok 503",
    "PostgreSQL: disk full": "ok 503 503 ok ok ok",
    "PostgreSQL: record damaged": "anonymous ok ok ok ok ok",
    "PostgreSQL: record of a later version": "503 503 ok ok ok ok",
}
"""For each fault, the outcome of each of `KINDS`."""
PATIENT = {"STORE_CONNECT_TIMEOUT": "2", "STORE_READ_TIMEOUT": "2", "STORE_DEADLINE": "4"}
HASTY = {"STORE_CONNECT_TIMEOUT": "0.3", "STORE_READ_TIMEOUT": "0.3", "STORE_RETRIES": "0", "STORE_DEADLINE": "0.6"}

Fault = Callable[[AliceBrowser], AbstractContextManager[Any]]


def hold(fault: str, node: RunningNode, make: Fault, trouble: RunningNode | None = None) -> None:
    """Make the fault, observe each outcome, and compare. `trouble` is the node that has the fault."""
    alice, bystander = AliceBrowser(node), AliceBrowser(node)
    with make(alice):
        alice.node = trouble or node
        # Logging out comes last: where it works, nobody is there afterwards.
        observed = {kind: alice.observe(kind) for kind in KINDS if kind != LOGOUT}
        assert alice.observe(READ) == observed[READ], "what failed before has changed it"
        observed[LOGOUT] = alice.observe(LOGOUT)
        assert requests.get(f"{alice.node.url}/live", timeout=20).status_code == 200
    expected = dict(zip(KINDS, EXPECTED[fault].split(), strict=True))
    assert observed == expected, {kind for kind in KINDS if observed[kind] != expected[kind]}
    wait_until(bystander.is_logged_in)
    wait_until(lambda: requests.get(f"{node.url}/ready", timeout=20).status_code == 200)
    if observed[LOGOUT] == "503" and observed[WRITE] == "503" and "slower" not in fault:
        alice.node = node
        assert alice.is_logged_in()
    assert not [line["exception"][-700:] for line in node.lines() if "exception" in line]


def id_of(browser: AliceBrowser) -> str:
    """The id of its session, in this project's cookie or in Express's."""
    value = browser.session.cookies.get("connect.sid")
    if value is not None:
        return unquote(value).removeprefix("s:").rpartition(".")[0]
    return str(browser.session.cookies["session"]).partition(".")[0]


def key_of(browser: AliceBrowser) -> str:
    return cookie.hash_id(id_of(browser))


def documentation() -> str:
    """Return the expected outcomes as the first table of docs/outages.md; the sessions of others are always kept."""
    lines = [f"| {fault} | {' | '.join(outcomes.split())} | kept |" for fault, outcomes in EXPECTED.items()]
    return "\n".join(["| fault | read | write | login | logout | visitor | ready | others |", "|" + "---|" * 8, *lines])
