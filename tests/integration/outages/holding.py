"""The first table of docs/outages.md, and how each of its rows is produced and compared."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import requests

from nodes.sessions import cookie
from tests.integration.outages.observed import KINDS, LOGOUT, READ, WRITE, Browser
from tests.support.node import ROOT, RunningNode, eventually

DOCUMENT = (ROOT / "docs" / "outages.md").read_text(encoding="utf-8")
ROWS = re.compile(r"^\| ([^|]+?) \| (\w+) \| (\w+) \| (\w+) \| (\w+) \| (\w+) \| (\w+) \| (\w+) \|$", re.MULTILINE)
DOCUMENTED = {
    fault: dict(zip(KINDS, row, strict=True)) for fault, *row, _ in ROWS.findall(DOCUMENT) if fault != "fault"
}
OTHERS = {row[0]: row[-1] for row in ROWS.findall(DOCUMENT)}
PATIENT = {"STORE_CONNECT_TIMEOUT": "2", "STORE_READ_TIMEOUT": "2", "STORE_DEADLINE": "4"}
HASTY = {"STORE_CONNECT_TIMEOUT": "0.3", "STORE_READ_TIMEOUT": "0.3", "STORE_RETRIES": "0", "STORE_DEADLINE": "0.6"}

Fault = Callable[[Browser], AbstractContextManager[Any]]


def hold(fault: str, node: RunningNode, make: Fault, trouble: RunningNode | None = None) -> None:
    """Makes the fault, does everything that the table speaks of, and compares. `trouble`: the node that is in it."""
    alice, bystander = Browser(node), Browser(node)
    with make(alice):
        alice.node = trouble or node
        # Logging out comes last: where it works, nobody is there afterwards.
        observed = {kind: alice.observe(kind) for kind in KINDS if kind != LOGOUT}
        assert alice.observe(READ) == observed[READ], "what failed before has changed it"
        observed[LOGOUT] = alice.observe(LOGOUT)
        assert requests.get(f"{alice.node.url}/live", timeout=20).status_code == 200
    assert observed == DOCUMENTED[fault], {kind for kind in KINDS if observed[kind] != DOCUMENTED[fault][kind]}
    assert OTHERS[fault] == "kept"
    eventually(bystander.is_logged_in)
    eventually(lambda: requests.get(f"{node.url}/ready", timeout=20).status_code == 200)
    if observed[LOGOUT] == "503" and observed[WRITE] == "503" and "slower" not in fault:
        alice.node = node
        assert alice.is_logged_in()
    assert not [line["exception"][-700:] for line in node.lines() if "exception" in line]


def id_of(browser: Browser) -> str:
    """The id of its session, in this project's cookie or in Express's."""
    value = browser.session.cookies.get("connect.sid")
    if value is not None:
        return unquote(value).removeprefix("s:").rpartition(".")[0]
    return str(browser.session.cookies["session"]).partition(".")[0]


def key_of(browser: Browser) -> str:
    return cookie.hash_id(id_of(browser))


def produced(folder: Path) -> set[str]:
    """The rows that a test of this folder names."""
    sources = [path.read_text(encoding="utf-8") for path in folder.glob("test_*.py")]
    return {fault for fault in DOCUMENTED if any(f'"{fault}"' in source for source in sources)}
