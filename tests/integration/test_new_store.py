"""The checklist of CONTRIBUTING.md for a new store, followed in a copy of this checkout.

The store is a stand-in for MongoDB that keeps its sessions in memory; what counts is the number of files around it.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.checkout import copy_checkout
from tests.support.node import PASSWORD, ROOT, SECRET

CLASS = '''"""Sessions in MongoDB: a stand-in that keeps them in memory."""

from typing import Any

from .memory import MemoryStore


class MongoStore(MemoryStore):
    def __init__(self, url: str, collection: str, **options: Any) -> None:
        super().__init__(**options)
        self.place = f"{url}#{collection}"
'''

HARNESS = '''"""MongoDB: here the stand-in."""

from nodes.sessions.stores.mongo import MongoStore
from tests.support.harness import Through
from tests.support.harnesses.memory import MemoryHarness


class MongoHarness(MemoryHarness):
    def __init__(self) -> None:
        super().__init__()
        self.memory = MongoStore("mongodb://here", "sessions", clock=lambda: self._now)
        self._through = self.store = Through(self.memory)
'''

# File -> the line that something is added before, and what is added.
ADDED = {
    "nodes/sessions/pyproject.toml": [("encryption = [", 'mongo = ["pymongo>=4.15"]\n')],
    "nodes/store_kinds.py": [
        ('    REDIS = "redis"', '    MONGO = "mongo"\n    """In MongoDB."""\n'),
        (
            "    create_schema: bool",
            """    mongo_url: str | None = setting(
        "MONGO_URL", None, "`mongodb://user:password@host:27017/database`", "The store's database.",
        lambda env: env.secret("MONGO_URL")[0], stores=(SessionStoreKind.MONGO,),
        example="mongodb://user:password@host:27017/database", shown="", is_secret=True,
    )  # fmt: skip
""",
        ),
        (
            "        case SessionStoreKind.EXPRESS |",
            """        case SessionStoreKind.MONGO:
            from .sessions.stores.mongo import MongoStore

            assert settings.mongo_url is not None
            names = ("sessions", RATE_LIMITS, ACCOUNTS)
            return Stores(*(MongoStore(settings.mongo_url, f"{settings.namespace}{name}") for name in names))
""",
        ),
    ],
    "deploy/spec.py": [
        ('    REDIS = "redis"', '    MONGO = "mongo"\n    """In MongoDB; in containers only."""\n'),
        (
            "    Database.MYSQL: DatabaseServer(",
            """\
    StoreKind.MONGO: DatabaseServer("mongo", "MongoDB", 27017, "mongodb", "mongo-url", "mongodb", "mongod --version"),
""",
        ),
    ],
    "compose.yaml": [
        ("      DATABASE_URL_FILE:", "      MONGO_URL_FILE: /cluster/node/mongo-url\n"),
        ("      mysql: {condition", "      mongo: {condition: service_healthy, required: false}\n"),
        (
            "  mysql:",
            """  mongo:
    <<: *database
    profiles: [mongo]
    image: mongo:8
    command: [mongod, --bind_ip_all]  # and something that makes the user node, as mysql's entrypoint does
    volumes: ["database-secrets:/cluster/database:ro", "mongo-data:/data/db"]
    healthcheck:
      <<: *check
      test: [CMD, mongosh, --quiet, --eval, "db.runCommand('ping').ok"]

""",
        ),
        ("  mysql-data:", "  mongo-data:\n"),
    ],
}

USE = """
import json, os, sys
from deploy.compose import override, services, setup
from deploy.local.cluster import LocalCluster
from deploy.redis import acl
from deploy.spec import ClusterError, ClusterSpec, StoreKind
from loadtest.experiment import make_variants
from nodes import Settings, create_app
from nodes.settings import documentation
from nodes.accounts import create_users
from pathlib import Path

create_users(Path("users.json"), ["alice"], sys.argv[1])
client = create_app(Settings.from_environ(os.environ)).test_client()
client.post("/login", json={"user": "alice", "password": sys.argv[1]})
spec = ClusterSpec(store=StoreKind.parse("mongo"), store_proxy=True)
try:
    LocalCluster(spec)
except ClusterError as error:
    local = str(error)
print(json.dumps({
    "user": client.get("/me").json["user"],
    "documented": "`MONGO_URL`, `MONGO_URL_FILE`" in documentation(),
    "profile": override.make_variables(spec, 8080, "198.18.0")["COMPOSE_PROFILES"],
    "services": services.store_services(spec),
    "behind the fault proxy": override.make_override(spec, "198.18.0")["services"]["node"]["extra_hosts"],
    "local": local,
    "places of its variants": [list(each.places) for each in make_variants(()) if each.name == "mongo"],
}))
"""


# Its tests, which a store with a server names in the conftest.py of its tier.
IN_TESTS = {
    "tests/support/harnesses/__init__.py": [
        ("from tests.support.harnesses.redis", "from tests.support.harnesses.mongo import MongoHarness\n"),
        ('    "file": lambda', '    "mongo": lambda _: MongoHarness(),\n'),
    ],
    "tests/unit/sessions/test_store_contract.py": [('    "memory"', '    "mongo",\n')],
}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this checkout with the store and its tests."""
    files = {"nodes/sessions/stores/mongo.py": CLASS, "tests/support/harnesses/mongo.py": HARNESS}
    folders = ("nodes", "proxy", "deploy", "loadtest", "tests")
    return copy_checkout(tmp_path_factory.mktemp("checkout"), folders, files, {**ADDED, **IN_TESTS})


def test_a_new_store_is_five_files_which_the_checklist_names(checkout: Path) -> None:
    checklist = (ROOT / "CONTRIBUTING.md").read_text().partition("### A store")[2].partition("\n### ")[0]
    files = ["nodes/sessions/stores/mongo.py", *ADDED]
    assert len(files) == 5
    named = [*files, *IN_TESTS]
    assert [name for name in named if f"`{name}`" not in checklist] == []
    assert "`mongo.py` in `tests/support/harnesses/`" in checklist
    for name in ("SessionStoreKind", "StoreKind", "make", "Harness"):
        assert f"`{name}`" in checklist


def test_the_contract_suite_runs_on_a_new_store(checkout: Path) -> None:
    words = (
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "tests/unit/sessions/test_store_contract.py",
        "-k",
        "mongo",
    )
    done = subprocess.run([sys.executable, *words], cwd=checkout, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout
    assert int(re.findall(r"(\d+) passed", done.stdout)[0]) > 40


def test_a_new_store_is_chosen_by_its_name(checkout: Path) -> None:
    given = {
        "SESSION_STORE": "mongo",
        "MONGO_URL": "mongodb://here",
        "SESSION_SECRETS": SECRET,
        "USERS_FILE": "users.json",
    }
    done = subprocess.run(
        [sys.executable, "-c", USE, PASSWORD], cwd=checkout, env=given, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "user": "alice",
        "documented": True,
        "profile": "mongo",
        "services": ["mongo"],
        "behind the fault proxy": ["mongo:198.18.0.41"],
        "local": "database mongo is for containers: local processes have SQLite",
        "places of its variants": [["compose"]],
    }
