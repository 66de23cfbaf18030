"""The secrets of a cluster of containers, and the files in which setup gives them to servers and nodes.

Secrets are made at the first start and kept by later ones. Each folder is a volume that only those containers see that
need it. Files for other users than this image's are readable by everyone within their volume, since an ordinary user
cannot give a file away.
"""

import json
import secrets
from dataclasses import asdict, replace
from pathlib import Path

from deploy.compose.services import REDIS_PORT, SENTINEL_PORT, SENTINELS, SHARDS, STORES, find_addresses
from deploy.files import write_atomically
from deploy.redis import acl, config
from deploy.spec import DATABASE_SERVERS, RedisMode
from nodes.accounts import create_users

CLUSTER = Path("/cluster")
PASSWORDS = CLUSTER / "users" / "passwords.json"
READABLE = 0o644
_ENTRYPOINTS = Path(__file__).parent / "entrypoints"
_REDIS_VERSION = (8, 0, 0)


def server_files(passwords: acl.Passwords, subnet: str) -> dict[str, str]:
    """Return name -> text of the files that the servers of a replicated Redis start with; they rewrite their copies."""
    addresses = find_addresses(subnet)
    shards = {name: f"{addresses[name]}@{REDIS_PORT + 10_000}" for name in SHARDS}
    files = {}
    for number, name in enumerate([*STORES, *SHARDS]):
        primary = addresses["store-1"] if name in STORES and number else None
        options = _redis_options("servers", f"/data/{name}") | config.replication_options(passwords, primary)
        if name in SHARDS:
            options |= config.CLUSTER_OPTIONS
            files[f"{name}.nodes.conf"] = config.nodes_conf(name, passwords, shards)
        files[f"{name}.conf"] = config.redis_conf(options)
    rights = acl.SESSIONS | acl.SHARDS
    return files | {"users.acl": acl.redis_acl(passwords, _REDIS_VERSION, rights, is_replicated=True)}


def sentinel_files(passwords: acl.Passwords, subnet: str, down_after: float) -> dict[str, str]:
    """Return name -> text of the files that the Sentinels start with; they rewrite their copies."""
    addresses = find_addresses(subnet)
    stores, sentinels = [addresses[name] for name in STORES], {name: addresses[name] for name in SENTINELS}
    files = {"users.acl": acl.sentinel_acl(passwords)}
    for name in SENTINELS:
        options = {"aclfile": "/cluster/sentinels/users.acl", "dir": f"/data/{name}"} | _listening(SENTINEL_PORT)
        files[f"{name}.conf"] = config.sentinel_conf(name, options, passwords, stores, sentinels, down_after)
    return files


def node_urls(passwords: acl.Passwords, subnet: str) -> dict[RedisMode, str]:
    """Return the URL of each replicated Redis, for the nodes."""
    addresses = find_addresses(subnet)
    return {
        RedisMode.SENTINEL: config.sentinel_url(passwords, [addresses[name] for name in SENTINELS]),
        RedisMode.CLUSTER: config.cluster_url(passwords, [addresses[name] for name in SHARDS]),
    }


def write_secrets(names: list[str], subnet: str, down_after: float, root: Path = CLUSTER) -> None:
    """Make missing secrets in the folders below `root`. Files that depend on a secret are written at each start, so
    that an interrupted start leaves nothing incomplete. Raises UsersError."""
    sessions = _keep(root / "node" / "session-secrets")
    node, express = _keep(root / "store" / "password", READABLE), _keep(root / "express" / "password")
    database = _keep(root / "database" / "password", READABLE)
    kept = root / "operator" / "passwords.json"
    if not kept.exists():
        write_atomically(kept, json.dumps(asdict(acl.Passwords())))
    replicated = acl.Passwords(**json.loads(kept.read_text(encoding="utf-8")))

    users = acl.redis_acl(replace(replicated, node=node), _REDIS_VERSION)
    users += acl.user_line(acl.EXPRESS, express, _REDIS_VERSION, acl.SHARED_WITH_EXPRESS)
    shared = config.redis_url(express, "redis:6379", acl.EXPRESS)
    files = {
        "node/redis-url.redis.standalone": config.redis_url(node, "redis:6379"),
        "node/redis-url.express.standalone": shared,
        **{f"node/redis-url.redis.{mode}": url for mode, url in node_urls(replicated, subnet).items()},
        "node/database-url.sql.sqlite": f"sqlite:///{CLUSTER / 'sessions' / 'sessions.db'}",
        **{f"node/{server.url_file}": server.url(database) for server in DATABASE_SERVERS.values()},
        "express/redis-url": shared,
        "express/session-secrets": sessions,
    }
    for name, text in files.items():
        write_atomically(root / name, text)
    operator = {"operator-password": replicated.operator}
    # The image of Redis has nothing of this checkout, so it gets the entry points beside its configuration.
    for folder, contents in {
        "store": operator | {"users.acl": users, "redis.conf": config.redis_conf(_redis_options("store", "/data"))},
        "servers": operator | server_files(replicated, subnet) | _entrypoint("redis.sh"),
        "sentinels": operator | sentinel_files(replicated, subnet, down_after) | _entrypoint("sentinel.sh"),
    }.items():
        for name, text in contents.items():
            write_atomically(root / folder / name, text, READABLE)
    _write_users(names, root)


def _write_users(names: list[str], root: Path) -> None:
    users, passwords = root / "node" / "users.json", root / PASSWORDS.relative_to(CLUSTER)
    if not (users.exists() and passwords.exists()):
        users.unlink(missing_ok=True)
        password = secrets.token_urlsafe(15)
        write_atomically(passwords, json.dumps({"users": dict.fromkeys(names, password)}))
        create_users(users, names, password)


def _keep(path: Path, mode: int = 0o600) -> str:
    """Return the secret in this file, which is made if it is missing."""
    if not path.exists():
        write_atomically(path, secrets.token_hex(32), mode)
    return path.read_text(encoding="utf-8")


def _redis_options(secrets: str, data: str) -> dict[str, str]:
    """Return the options of a server with these folders for its secrets (below /cluster) and its data."""
    options = config.redis_options(f"/cluster/{secrets}/users.acl", data, _REDIS_VERSION)
    return _listening(REDIS_PORT) | {"appendonly": "yes"} | options


def _listening(port: int) -> dict[str, str]:
    # The default user is off, so protected mode would add nothing: no client comes in without a password.
    return {"port": str(port), "bind": "*", "protected-mode": "no"}


def _entrypoint(name: str) -> dict[str, str]:
    return {name: (_ENTRYPOINTS / name).read_text(encoding="utf-8")}
