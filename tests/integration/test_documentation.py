"""The manual says what is so: its commands exist, its settings are the settings, its example runs."""

from __future__ import annotations

import dataclasses
import enum
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from flask import Flask

from nodes.sessions import Session, SessionOptions
from session_cluster import main
from tests.support.valkey import Valkey

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCK = re.compile(r"(?:^    .*\n(?:\n(?=    ))?)+", re.MULTILINE)


def blocks(text: str) -> list[str]:
    return [re.sub(r"^    ", "", block, flags=re.MULTILINE) for block in BLOCK.findall(text)]


def commands(program: str) -> list[str]:
    """The README's commands that begin with `program`, without the remark that follows after two spaces or more."""
    lines = [line for block in blocks(README) for line in block.splitlines()]
    return [re.split(r" {2,}", line)[0] for line in lines if line.startswith(f"{program} ")]


@pytest.mark.parametrize("command", commands("session-cluster"))
def test_the_options_of_a_command_exist(command: str) -> None:
    words = shlex.split(command)[1:]
    if words == ["--help"]:
        return
    subcommand = main.get_command(click.Context(main), words[0])
    assert subcommand is not None
    if "--help" not in words:
        subcommand.make_context(words[0], words[1:])


@pytest.mark.parametrize("command", commands("make"))
def test_a_target_of_make_exists(command: str) -> None:
    subprocess.run(["make", "--dry-run", *shlex.split(command)[1:]], cwd=ROOT, check=True, capture_output=True)


def test_there_are_commands_to_look_at() -> None:
    assert len(commands("session-cluster")) >= 5
    assert len(commands("make")) >= 4
    assert len(commands("docker")) >= 5


def test_every_link_to_a_file_leads_somewhere() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_settings_of_a_node_are_documented_and_nothing_else() -> None:
    documented = set(
        re.findall(r"`([A-Z][A-Z_]+)`", (ROOT / "docs/settings.md").read_text().split("## The containers")[0])
    )
    read = set(re.findall(r"# ([A-Z][A-Z_]+(?: or [A-Z_]+)*)$", (ROOT / "nodes/settings.py").read_text(), re.MULTILINE))
    assert documented == {name for names in read for name in names.split(" or ")}


def test_every_option_and_method_of_a_session_is_in_the_readmes_table() -> None:
    section = README.split("## For who knows express-session")[1].split("\n## ")[0]
    named = set(re.findall(r"[a-z_]+", " ".join(re.findall(r"`([^`]+)`", section))))
    options = {field.name for field in dataclasses.fields(SessionOptions) if field.init}
    methods = {name for name in vars(Session) if not name.startswith("_")} | {"of", "end_all", "end_everyone"}
    internal = {
        "close",
        "commit",
        "cookie_lifetime",
        "require_fresh_login",
        "auth_age",
        "clear",
        "created",
        "exists",
        "is_new",
        "lifetime",
        "owner",
    }
    assert (options | methods) - internal - named == set()


EXPRESS_OPTIONS: dict[str, tuple[str, object]] = {  # of express-session 1.19: our field, and their default
    "secret": ("secrets", None),
    "name": ("name", "connect.sid"),
    "genid": ("generate_id", "uid(24)"),
    "resave": ("resave", True),
    "saveUninitialized": ("save_uninitialized", True),
    "rolling": ("rolling", False),
    "unset": ("unset", "keep"),
    "proxy": ("proxy", None),
    "cookie as a function": ("cookie_for", None),
    "cookie.path": ("path", "/"),
    "cookie.domain": ("domain", None),
    "cookie.httpOnly": ("http_only", True),
    "cookie.secure": ("secure", False),
    "cookie.sameSite": ("same_site", None),
    "cookie.maxAge": ("max_age", None),
    "cookie.partitioned": ("partitioned", False),
    "cookie.priority": ("priority", None),
}
EXPRESS_OTHERS = (
    *("store", "cookie", "cookie.expires", "req.session", "req.sessionID", "req.sessionStore", "session.id"),
    *("session.regenerate", "session.destroy", "session.reload", "session.save", "session.touch"),
    *("session.resetMaxAge", "session.cookie", "session.cookie.maxAge", "session.cookie.originalMaxAge"),
    *("store.get", "store.set", "store.touch", "store.destroy", "store.all", "store.length", "store.clear"),
    *("connect", "disconnect"),
)


def test_each_option_method_and_event_of_express_session_has_a_row_with_the_default_that_is_ours() -> None:
    section = README.split("## For who knows express-session")[1].split("\n## ")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    rows = {theirs.replace("`", ""): (ours, default, why) for theirs, ours, default, why in cells if theirs[:1] == "`"}
    assert len(rows) == len([theirs for theirs, *_ in cells if theirs[:1] == "`"]), "a row twice"
    assert set(rows) == {*EXPRESS_OPTIONS, *EXPRESS_OTHERS}
    options = SessionOptions(secrets=("x" * 32,))
    for theirs, (field, their_default) in EXPRESS_OPTIONS.items():
        ours, shown, why = rows[theirs]
        assert field in ours, theirs
        if field not in {"secrets", "generate_id"}:
            assert shown == as_written(getattr(options, field)), theirs
        if why == "as there":
            assert shown == as_written(their_default), theirs
    for theirs, ours, default, why in cells[2:]:
        assert ours, theirs
        assert why, theirs
        if theirs[:1] != "`" and default:
            assert default == as_written(getattr(options, ours.strip("`"))), ours


def as_written(value: object) -> str:
    """How the table shows a default."""
    if isinstance(value, enum.Enum):
        return f"`{value}`"
    return f"`{value}`" if isinstance(value, str) else str(value)


def test_the_example_of_the_session_layer_runs(server: Valkey) -> None:
    (example,) = [block for block in blocks(README) if "Sessions(app" in block]
    code = example.replace("redis://127.0.0.1:6379/0", server.url)
    script = f"{code}\nclient = app.test_client()\nprint([client.post('/visits').json['visits'] for _ in range(3)])"
    environ = {**os.environ, "SESSION_SECRET": "x" * 32, "PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=True)
    assert run.stdout == "[1, 2, 3]\n"
    assert example in blocks((ROOT / "docs/sessions.md").read_text())
    assert len([line for line in example.splitlines() if line.strip()]) <= 10
    assert Flask.__name__ in example


@pytest.fixture(scope="module")
def server() -> Iterator[Valkey]:
    valkey = Valkey()
    yield valkey
    valkey.close()
