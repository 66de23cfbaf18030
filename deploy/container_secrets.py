"""What the containers of one cluster share and nobody else knows: made at the first start, kept by later ones.

Each folder below is a volume that only those containers see who need it. What belongs to other users than this
image's is readable by all of them, since an ordinary user cannot give a file away; within its volume that is the same.
"""

import json
import secrets
from dataclasses import asdict
from pathlib import Path

import deploy
from deploy.certificate import make_certificate
from deploy.container_redis import sentinel_files, server_files, urls
from deploy.redis import acl
from nodes.accounts import create_users

CLUSTER = Path("/cluster")
NODE, EXPRESS, STORE, DATABASE, PROXY, TLS, USERS, SESSIONS = (
    CLUSTER / name for name in ("node", "express", "store", "database", "proxy", "tls", "users", "sessions")
)
SERVERS, SENTINELS, OPERATOR = (CLUSTER / name for name in ("servers", "sentinels", "operator"))
PASSWORDS = USERS / "passwords.json"
AUTHORITY, CERTIFICATE, KEY = TLS / "ca.pem", TLS / "certificate.pem", TLS / "key.pem"
_SCRIPTS = Path(deploy.__file__).parent / "compose" / "entrypoints"
_REDIS_VERSION = (8, 0, 0)
_OURS, _EVERYBODY = 0o600, 0o644


def make_secrets(names: list[str], hosts: tuple[str, ...], subnet: str) -> None:
    """Makes what is missing; `names` can log in, the certificate is for `hosts`, and `subnet` has the fixed addresses
    of a Redis of several servers. Raises UsersError.

    What follows from a secret is written again at each start, so that an interrupted one leaves nothing half done.
    """
    sessions = _kept(NODE / "session-secrets", _OURS)
    node, express = _kept(STORE / "password", _EVERYBODY), _kept(EXPRESS / "password", _OURS)
    database = _kept(DATABASE / "password", _EVERYBODY)

    users = acl.acl_file(node, _REDIS_VERSION)
    users += acl.user_line(acl.EXPRESS, express, _REDIS_VERSION, acl.SHARED_WITH_EXPRESS)
    write(STORE / "users.acl", users, _EVERYBODY)
    shared = f"redis://{acl.EXPRESS}:{express}@redis:6379/0"
    for path, text in {
        NODE / "redis-url.redis.standalone": f"redis://{acl.NODE}:{node}@redis:6379/0",
        NODE / "redis-url.express.standalone": shared,
        NODE / "database-url.sql.sqlite": f"sqlite:///{SESSIONS / 'sessions.db'}",
        NODE / "database-url.sql.mysql": f"mysql://node:{database}@mysql:3306/sessions",
        NODE / "database-url.sql.postgres": f"postgresql://node:{database}@postgres:5432/sessions",
        EXPRESS / "redis-url": shared,
        EXPRESS / "session-secrets": sessions,
    }.items():
        write(path, text, _OURS)
    _make_several_servers(subnet)
    _make_users(names)
    if not KEY.exists():
        make_certificate(TLS, tuple(dict.fromkeys((*hosts, "::1"))))
    KEY.chmod(_EVERYBODY)


def _make_several_servers(subnet: str) -> None:
    kept = OPERATOR / "passwords.json"
    if not kept.exists():
        write(kept, json.dumps(asdict(acl.Passwords())), _OURS)
    passwords = acl.Passwords(**json.loads(kept.read_text(encoding="utf-8")))
    for mode, url in urls(passwords, subnet).items():
        write(NODE / f"redis-url.redis.{mode}", url, _OURS)
    servers = server_files(passwords, subnet) | {
        "users.acl": acl.acl_file(passwords.node, _REDIS_VERSION, acl.SESSIONS | acl.SHARDS, passwords)
    }
    sentinels = sentinel_files(passwords, subnet) | {"users.acl": acl.sentinel_acl_file(passwords)}
    for folder, script, files in ((SERVERS, "redis.sh", servers), (SENTINELS, "sentinel.sh", sentinels)):
        # Run by an image that has nothing of ours.
        files |= {"password": passwords.operator, script: (_SCRIPTS / script).read_text(encoding="utf-8")}
        for name, text in files.items():
            write(folder / name, text, _EVERYBODY)


def _make_users(names: list[str]) -> None:
    users = NODE / "users.json"
    if not (users.exists() and PASSWORDS.exists()):
        users.unlink(missing_ok=True)
        word = secrets.token_urlsafe(15)
        write(PASSWORDS, json.dumps({"users": dict.fromkeys(names, word)}), _OURS)
        create_users(users, names, word)


def _kept(path: Path, mode: int) -> str:
    if not path.exists():
        write(path, secrets.token_hex(32), mode)
    return path.read_text(encoding="utf-8")


def write(path: Path, text: str, mode: int) -> None:
    """Whole or not at all."""
    draft = path.with_name(f".{path.name}.new")
    draft.touch(mode=0o600)
    draft.write_text(text, encoding="utf-8")
    draft.chmod(mode)
    draft.replace(path)
