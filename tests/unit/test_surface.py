"""The public surface as text, one file a part: what other people's scripts, dashboards and records rely on.

After a deliberate change, `UPDATE_SURFACE=1 make test-unit ARGS="-k surface"` writes the files again. The change also
belongs in CHANGELOG.md. tests/integration/test_surface.py has the parts that need a server.
"""

import gzip
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import UUID

import click
import msgspec
import pytest
from msgspec import inspect

from deploy.local.state import Description
from deploy.spec import Database, NodeKind, RedisMode, StoreKind
from loadtest.checker import Checker
from loadtest.experiments import EXPERIMENTS
from loadtest.history import VERSION, End, Header, Mark, Note, Op, Probe, Writer
from loadtest.results import Result, record_figures
from nodes import Settings, create_app
from nodes import sessions as library
from nodes.accounts import create_users
from nodes.sessions import FileStore, Lifetime
from nodes.sessions.codec import MsgpackCodec
from nodes.sessions.cookie import SignedCookie
from nodes.sessions.stores.express.cookie import ExpressCookie
from nodes.sessions.stores.express.format import Document
from proxy import Balance
from session_cluster import main
from tests.support.ddl import ddl
from tests.support.library_names import describe_names
from tests.support.surface import hold

ROOT = Path(__file__).parents[2]
SECRET = "keyboard cat, keyboard cat, keyboard cat"


def parameters(command: click.Command, name: str) -> Iterator[str]:
    yield name
    for each in sorted(command.params, key=lambda one: (one.param_type_name, one.name or "")):
        described = each.to_info_dict()
        choices = described["type"].get("choices")
        kind = "|".join(map(str, choices)) if choices else described["type"]["name"]
        flags = " ".join([*each.opts, *each.secondary_opts])
        lowest, highest = described["type"].get("min"), described["type"].get("max")
        bounds = "" if lowest is highest is None else f" {lowest}..{highest}"
        default = described["default"]
        shown = f" = {default}" if isinstance(default, str | int | float) and default is not False else ""
        words = f"{' required' if each.required else ''}{' multiple' if each.multiple else ''}"
        yield f"    {flags} {kind}{bounds}{words}{shown}"
    if isinstance(command, click.Group):
        for child in sorted(command.commands):
            yield from parameters(command.commands[child], f"{name} {child}")


def test_commands_and_their_options_match_the_snapshot() -> None:
    hold("commands", parameters(main, "session-cluster"))


VARIABLE = re.compile(
    r"\b(?:(?:NODE|SESSION|STORE|REDIS|DATABASE|LOGIN|CLUSTER|USERS|EXPRESS)_[A-Z][A-Z_]*[A-Z]"
    r"|TRUSTED_PROXIES|LOG_LEVEL|NO_COLOR|COLUMNS|BALANCE|REQUIRE_ALL|CHROMIUM)\b"
)


def test_environment_variables_match_the_snapshot() -> None:
    def variables() -> Iterator[str]:
        nodes = (path.read_text() for path in (ROOT / "nodes").glob("*.py"))
        for name in sorted({name for text in nodes for name in re.findall(r'"([A-Z][A-Z_]+)"', text)}):
            if VARIABLE.fullmatch(name):
                yield f"node {name}"
        compose = (ROOT / "compose.yaml").read_text()
        for name in sorted(set(re.findall(r"\$\{([A-Z][A-Z_]+)", compose))):
            yield f"compose {name}"
        locust = [
            text for path in (ROOT / "loadtest").glob("*.py") if "node_settings" not in (text := path.read_text())
        ]
        for name in sorted({name for text in locust for name in re.findall(r'"((?:CLUSTER|SESSION)_[A-Z_]+)"', text)}):
            yield f"locust {name}"

    hold("environment", variables())


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    users = tmp_path / "users.json"
    create_users(users, ["alice"], "correct horse battery staple")
    return Settings(node_name="node-1", secrets=(SECRET,), users_file=users)


def test_names_to_choose_from_match_the_snapshot() -> None:
    def names() -> Iterator[str]:
        kinds: tuple[type[StrEnum], ...] = (StoreKind, Database, RedisMode, NodeKind, Balance)
        for kind in kinds:
            yield f"{kind.__name__} {' '.join(kind)}"
        for experiment in EXPERIMENTS:
            yield f"experiment {experiment.number} {experiment.name} {' '.join(v.name for v in experiment.variants)}"

    hold("names", (line.rstrip() for line in names()))


def test_addresses_and_methods_of_a_node_match_the_snapshot(settings: Settings) -> None:
    rules = create_app(settings).url_map.iter_rules()
    hold("http", iter(sorted(f"{rule.rule} {' '.join(sorted(rule.methods or ()))}" for rule in rules)))


def test_status_codes_of_a_node_match_the_snapshot(settings: Settings) -> None:
    app = create_app(settings)
    visitor, alice = app.test_client(), app.test_client()
    right = {"user": "alice", "password": "correct horse battery staple"}

    def statuses() -> Iterator[str]:
        alice.post("/login", json=right)
        for who, client in (("visitor", visitor), ("alice", alice)):
            for method, path, body in (
                ("GET", "/", None),
                ("GET", "/live", None),
                ("GET", "/ready", None),
                ("GET", "/me", None),
                ("POST", "/visits", {}),
                ("POST", "/cart", {"item": "apple", "quantity": 2}),
                ("POST", "/cart", {"item": "apple", "quantity": -1}),
                ("DELETE", "/cart", None),
                ("GET", "/account", None),
                ("GET", "/sessions", None),
                ("DELETE", "/sessions/0123456789abcdef", None),
                ("POST", "/password", {"current": "wrong", "new": "correct horse battery staple 2"}),
                ("POST", "/login", {"user": "alice"}),
                ("POST", "/login", {**right, "password": "wrong"}),
                ("GET", "/nowhere", None),
                ("GET", "/login", None),
                ("POST", "/logout", {}),
            ):
                answer = client.open(path, method=method, json=body, headers={"Accept": "application/json"})
                keys = " ".join(answer.json) if isinstance(answer.json, dict) else ""
                sent = "" if body is None else f" {' '.join(f'{key}={value}' for key, value in body.items())}"
                yield f"{who}: {method} {path}{sent} -> {answer.status_code} {keys}".rstrip()

    hold("statuses", statuses())


def test_names_and_labels_of_metrics_match_the_snapshot(settings: Settings) -> None:
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


def test_records_of_the_file_store_match_the_snapshot(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "sessions")
    fields = {"user": b"\xa5alice", "visits": b"\x03"}
    store.create("0" * 64, fields, "alice", Lifetime(idle=1800, absolute=28800))

    def files() -> Iterator[str]:
        folder = tmp_path / "sessions"
        yield " ".join(sorted(path.name for path in folder.iterdir()))
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            content = path.read_bytes()
            # Two records differ in their times alone, 8 bytes of a float each, and so in the checksum. It comes first,
            # because its bytes may be those before a float.
            content = re.sub(rb"^SC\x01.{16}", b"SC\x01<checksum>", content, flags=re.DOTALL)
            content = re.sub(rb"\xcb.{8}", b"\xcb<time>", content, flags=re.DOTALL)
            yield f"{path.relative_to(tmp_path)} {content!r}"

    hold("file-records", files())


def test_signed_cookies_match_the_snapshot() -> None:
    secret, session_id = b"keyboard cat, keyboard cat, keyboard cat", "0123456789abcdefghijklmnopqrstuv_-ABCDEFGHI"

    def cookies() -> Iterator[str]:
        for cookie in (SignedCookie(), ExpressCookie()):
            yield f"{type(cookie).__name__} {cookie.sign(session_id, secret)}"
            yield f"{type(cookie).__name__} key {cookie.to_key(session_id)}"

    hold("cookies", cookies())


def test_bytes_of_encoded_values_match_the_snapshot() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    values: tuple[Any, ...] = (
        None,
        True,
        0,
        -1,
        2**63 - 1,
        1.5,
        "caf\u00e9",
        b"\x00\xff",
        [1, [2]],
        {"a": {"b": 1}},
        moment,
    )

    hold("values", (f"{value!r} {MsgpackCodec().encode(value).hex()}" for value in (*values, UUID(int=1), (1, 2))))


def test_records_of_the_express_store_match_the_snapshot() -> None:
    def records() -> Iterator[str]:
        for fields in ({"visits": b"3"}, {"visits": b"3", "_cookie": b'{"max_age":60,"expires":null,"path":"/"}'}):
            document = Document.make(fields, "alice", "user")
            document.expire(Lifetime(1800, 28800), created=1_700_000_000.0, now=1_700_000_000.0)
            yield document.dump().decode()

    hold("express-records", records())


def test_tables_of_the_sql_store_match_the_snapshot() -> None:
    def statements() -> Iterator[str]:
        for url in ("sqlite://", "mysql+pymysql://", "postgresql+psycopg://"):
            yield f"-- {url}"
            yield from ddl(url).splitlines()

    hold("sql", statements())


def test_names_of_the_session_library_match_the_snapshot() -> None:
    hold("library", describe_names(library))


def members(info: inspect.Type, path: str) -> Iterator[str]:
    """The path of each value in JSON of this type: `.name` of an object, `.*` of a map, `[]` of a list."""
    match info:
        case inspect.StructType(fields=fields) | inspect.DataclassType(fields=fields):
            for field in fields:
                yield from members(field.type, f"{path}.{field.encode_name}")
        case inspect.DictType(value_type=value):
            yield from members(value, f"{path}.*")
        case (
            inspect.VarTupleType(item_type=item)
            | inspect.ListType(item_type=item)
            | inspect.CollectionType(item_type=item)
        ):
            yield from members(item, f"{path}[]")
        case inspect.TupleType(item_types=items):
            for item in items:
                yield from members(item, f"{path}[]")
        case inspect.UnionType(types=types):
            for one in types:
                yield from members(one, path)
        case inspect.EnumType(cls=cls):
            yield f"{path} {'|'.join(str(value.value) for value in cls)}"
        case _:
            yield f"{path} {type(info).__name__.removesuffix('Type').lower()}"


@pytest.mark.parametrize(("name", "kind"), [("cluster.json", Description), ("result.json", Result)])
def test_keys_of_written_json_files_match_the_snapshot(name: str, kind: type) -> None:
    hold(name, iter(dict.fromkeys(members(inspect.type_info(kind), ""))))


def test_figures_of_a_phase_in_json_match_the_snapshot() -> None:
    hold("figures.json", iter(record_figures("all", Checker().findings().total)))


def test_lines_of_a_history_match_the_snapshot(tmp_path: Path) -> None:
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
