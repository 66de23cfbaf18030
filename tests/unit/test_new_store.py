"""The checklist of CONTRIBUTING.md for a new store, followed in a copy of this checkout.

The store is a stand-in for MongoDB that keeps its sessions in memory; what counts is the number of files around it.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.node import PASSWORD, ROOT, SECRET

CLASS = '''"""Sessions in MongoDB: a stand-in that keeps them in memory."""

from .memory import MemoryStore


class MongoStore(MemoryStore):
    def __init__(self, url: str, collection: str) -> None:
        super().__init__()
        self.place = f"{url}#{collection}"
'''

# File -> the line that something is added before, and what is added.
ADDED = {
    "nodes/sessions/pyproject.toml": [("encryption = [", 'mongo = ["pymongo>=4.15"]\n')],
    "pyproject.toml": [('    "pymysql>=', '    "pymongo>=4.15",\n')],
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
    StoreKind.MONGO: DatabaseServer("mongo", 27017, "mongodb", "mongo-url", "mongodb", "mongod --version"),
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
    command: [mongod, --bind_ip_all]
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
from deploy.compose import members, override, setup
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
    "services": members.store_services(spec),
    "behind the fault proxy": override.make_override(spec, "198.18.0")["services"]["node"]["extra_hosts"],
    "local": local,
    "places of its variants": [list(each.places) for each in make_variants(()) if each.name == "mongo"],
}))
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this checkout with the store."""
    root = tmp_path_factory.mktemp("checkout")
    for folder in ("nodes", "proxy", "deploy", "loadtest"):
        ignored = shutil.ignore_patterns("__pycache__", "node_modules", "build", "*.egg-info")
        shutil.copytree(ROOT / folder, root / folder, ignore=ignored)
    (root / "nodes/sessions/stores/mongo.py").write_text(CLASS)
    for name, additions in ADDED.items():
        text = (ROOT / name).read_text()
        for before, added in additions:
            count = text.count(f"\n{before}")
            assert count == 1, f"{name} must have one line that begins with {before!r}, not {count}"
            text = text.replace(f"\n{before}", f"\n{added}{before}")
        (root / name).write_text(text)
    return root


def test_a_new_store_is_six_files_which_the_checklist_names(checkout: Path) -> None:
    checklist = (ROOT / "CONTRIBUTING.md").read_text().partition("### A store")[2].partition("\n### ")[0]
    files = ["nodes/sessions/stores/mongo.py", *ADDED]
    assert len(files) == 6
    assert [name for name in files if f"`{name}`" not in checklist] == []


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
