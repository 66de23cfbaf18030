"""The public surface as text, one file a part: what other people's scripts, dashboards and records rely on.

`UPDATE_SURFACE=1 pytest tests/unit/test_surface.py` writes the files anew after a deliberate change, which belongs in
CHANGELOG.md too.
"""

import gzip
import os
import re
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import pytest

from loadtest.history import VERSION, End, Header, Mark, Note, Op, Probe, Writer
from nodes import Settings, create_app
from nodes.accounts import create_users
from nodes.sessions import FileStore, Lifetime
from session_cluster import main

ROOT = Path(__file__).parents[2]
SNAPSHOTS = Path(__file__).parent / "surface"
SECRET = "keyboard cat, keyboard cat, keyboard cat"


def hold(part: str, lines: Iterator[str]) -> None:
    """Compare a part of the surface with its file."""
    path, text = SNAPSHOTS / f"{part}.txt", "".join(f"{line}\n" for line in lines)
    if os.environ.get("UPDATE_SURFACE") == "1":
        path.write_text(text)
    assert text.splitlines() == path.read_text().splitlines(), f"{part} changed: see the docstring of this module"


def parameters(command: click.Command, name: str) -> Iterator[str]:
    yield name
    for each in sorted(command.params, key=lambda one: (one.param_type_name, one.name or "")):
        described = each.to_info_dict()
        choices = described["type"].get("choices")
        kind = "|".join(map(str, choices)) if choices else described["type"]["name"]
        flags = " ".join([*each.opts, *each.secondary_opts])
        yield f"    {flags} {kind}{' required' if each.required else ''}{' multiple' if each.multiple else ''}"
    if isinstance(command, click.Group):
        for child in sorted(command.commands):
            yield from parameters(command.commands[child], f"{name} {child}")


def test_commands_and_their_options() -> None:
    hold("commands", parameters(main, "session-cluster"))


VARIABLE = re.compile(
    r"\b(?:(?:NODE|SESSION|STORE|REDIS|DATABASE|LOGIN|CLUSTER|USERS|EXPRESS)_[A-Z][A-Z_]*[A-Z]"
    r"|TRUSTED_PROXIES|LOG_LEVEL|NO_COLOR|COLUMNS|BALANCE|REQUIRE_ALL|CHROMIUM)\b"
)


def test_environment_variables() -> None:
    def variables() -> Iterator[str]:
        nodes = (path.read_text() for path in (ROOT / "nodes").glob("*.py"))
        for name in sorted({name for text in nodes for name in re.findall(r'"([A-Z][A-Z_]+)"', text)}):
            if VARIABLE.fullmatch(name):
                yield f"node {name}"
        compose = (ROOT / "compose.yaml").read_text()
        for name in sorted(set(re.findall(r"\$\{([A-Z][A-Z_]+)", compose))):
            yield f"compose {name}"
        locust = [path.read_text() for path in (ROOT / "loadtest").glob("*.py")]
        for name in sorted({name for text in locust for name in re.findall(r'"((?:CLUSTER|SESSION)_[A-Z_]+)"', text)}):
            yield f"locust {name}"

    hold("environment", variables())


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    users = tmp_path / "users.json"
    create_users(users, ["alice"], "correct horse battery staple")
    return Settings(node_name="node-1", secrets=(SECRET,), users_file=users)


def test_http_interface(settings: Settings) -> None:
    rules = create_app(settings).url_map.iter_rules()
    hold("http", iter(sorted(f"{rule.rule} {' '.join(sorted(rule.methods or ()))}" for rule in rules)))


def test_names_and_labels_of_metrics(settings: Settings) -> None:
    client = create_app(settings).test_client()
    client.post("/visits", json={})
    client.post("/login", json={"user": "alice", "password": "correct horse battery staple"})
    client.get("/me")
    client.post("/logout", json={})

    def metrics() -> Iterator[str]:
        text = client.get("/metrics").get_data(as_text=True)
        yield from sorted({line for line in text.splitlines() if line.startswith("# TYPE")})
        samples = re.findall(r"^(\w+)(?:\{(.*?)\})? ", text, re.MULTILINE)
        yield from sorted({" ".join([name, *re.findall(r"(\w+)=", labels)]) for name, labels in samples})

    hold("metrics", metrics())


def test_records_of_the_file_store(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "sessions")
    fields = {"user": b"\xa5alice", "visits": b"\x03"}
    store.create("0" * 64, fields, "alice", Lifetime(idle=1800, absolute=28800))

    def files() -> Iterator[str]:
        folder = tmp_path / "sessions"
        yield " ".join(sorted(path.name for path in folder.iterdir()))
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            content = path.read_bytes()
            # Two records differ in their times alone, 8 bytes of a float each, and so in the checksum.
            content = re.sub(rb"\xcb.{8}", b"\xcb<time>", content, flags=re.DOTALL)
            content = re.sub(rb"^SC\x01.{16}", b"SC\x01<checksum>", content, flags=re.DOTALL)
            yield f"{path.relative_to(tmp_path)} {content!r}"

    hold("file-records", files())


def test_lines_of_a_history(tmp_path: Path) -> None:
    def lines() -> Iterator[str]:
        path = tmp_path / "history.jsonl.gz"
        header = Header(
            version=VERSION, title="t", started=1.0, cluster={"url": "u"}, idle_timeout=1800, lifetime=28800
        )
        writer = Writer(path, header)
        shown = {"user": "alice", "visits": 1, "cart": {"apple": 2}, "replaced": False}
        sent = {"method": "POST", "path": "/cart", "status": 200, "node": "node-1", "started": 1.0, "ended": 1.5}
        what = {"who": "shopper-1", "account": "alice", "session": "shopper-1/1", "action": "add", "outcome": "ok"}
        op = {"is": "op", **what, "item": "apple", "quantity": 2, **shown, **sent}
        writer.write(msgspec.convert(op, Op))
        writer.write(Mark(1.5, "before"))
        writer.write(Note(1.6, "generator", {"users": 3}))
        writer.close()
        for line in gzip.decompress(path.read_bytes()).decode().splitlines():
            yield re.sub(r"\d{6,}\.\d+", "<time>", line)
        for kind in (Header, Op, Probe, Mark, Note, End):
            yield f"{kind.__name__}: {' '.join(kind.__struct_fields__)}"

    hold("history", lines())
