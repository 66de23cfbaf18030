"""`python -m loadtest.cli.watch`: the console in a container of compose.yaml (--profile console), which can only watch.

It has the settings of the cluster from the service `setup`, and ends when they change: the engine starts it again. Its
token is in /cluster/console, so that the address in `docker compose logs console` does not change. The loads'
histories are there, too; each start removes the old ones.
"""

import json
import os
import secrets
import shutil
import signal
import threading
from collections.abc import Mapping
from pathlib import Path

import click
from rich.console import Console as Terminal

from deploy import ClusterSpec, StoreKind
from deploy.compose.setup import SETTINGS
from deploy.compose.watched import WatchedCluster
from deploy.files import write_atomically
from deploy.signals import interruptible
from deploy.spec import ClusterError, Database, RedisMode, parse_balance
from loadtest.console.board import Board
from loadtest.console.commands import MOST_USERS
from loadtest.console.director import Director
from loadtest.console.node_watch import NodeWatch
from loadtest.console.sampler import Sampler
from loadtest.console.server import Console, serve
from loadtest.credentials import USERS_FILE_VARIABLE, CredentialsError, read_credentials
from loadtest.experiment import Place
from nodes.environment import Environment, SettingsError

FOLDER = SETTINGS.parent
INTERVAL = 1.0
"""Seconds between two looks at the settings."""
LISTEN = ("0.0.0.0", 8090)  # noqa: S104 - in its container; compose.yaml publishes it on 127.0.0.1
_REDIS = {RedisMode.SENTINEL: StoreKind.REDIS_HA, RedisMode.CLUSTER: StoreKind.REDIS_CLUSTER}


@click.command()
def watch() -> None:
    """Serve the page until a signal comes."""
    env = Environment(os.environ)
    try:
        settings = SETTINGS.read_text(encoding="utf-8")
        spec = read_spec(json.loads(settings))
        port, shop = env.whole("CONSOLE_PORT", 8090, 1, 65535), env.whole("PROXY_PORT", 8080, 1, 65535)
        users = None if spec.application else env.whole("CONSOLE_USERS", 20, 0, MOST_USERS)
        accounts = read_credentials(os.environ.get(USERS_FILE_VARIABLE, "")).users
        token, loads = keep_token(FOLDER / "token"), FOLDER / "loads"
        shutil.rmtree(loads, ignore_errors=True)
        loads.mkdir()
    except (ClusterError, SettingsError, CredentialsError, OSError) as error:
        raise click.ClickException(str(error)) from error
    cluster, board = WatchedCluster(spec, accounts, f"http://127.0.0.1:{shop}"), Board()
    director = Director(spec, users, lambda _: cluster, board, loads)
    page = Console(board, director, port, token, listen=LISTEN)
    sampler = Sampler(director, board, Place.COMPOSE, NodeWatch(cluster))
    with interruptible():
        _Changes(settings).start()
        try:
            serve(page, sampler, Terminal(highlight=False), "It watches, and shows the commands to type.")
        except KeyboardInterrupt:
            click.echo("stopped")


class _Changes(threading.Thread):
    """Ends this process as soon as `docker compose up` gave the cluster other settings, whether or not the console was
    named in it."""

    def __init__(self, settings: str) -> None:
        super().__init__(name="settings", daemon=True)
        self._settings = settings

    def run(self) -> None:
        pause = threading.Event()
        while SETTINGS.read_text(encoding="utf-8") == self._settings:
            pause.wait(INTERVAL)
        click.echo("the cluster has other settings now: the console starts again with them")
        os.kill(os.getpid(), signal.SIGTERM)


def read_spec(environ: Mapping[str, str]) -> ClusterSpec:
    """Return the description of the cluster that has these variables of compose.yaml. Raises ClusterError."""
    env = Environment(environ)
    store = StoreKind.parse(env.text("SESSION_STORE") or StoreKind.REDIS.value)
    if store is StoreKind.REDIS:
        store = _REDIS.get(RedisMode.parse(env.text("REDIS_MODE") or RedisMode.STANDALONE.value), store)
    database = Database.parse(env.text("DATABASE") or "") if store is StoreKind.SQL else Database.SQLITE
    names = ("SESSION_NAME", "SESSION_IDLE_TIMEOUT", "SESSION_ABSOLUTE_TIMEOUT")
    return ClusterSpec(
        store=store,
        database=database,
        balance=parse_balance(env.text("BALANCE") or "round_robin"),
        application=env.text("NODE_APP") or "",
        node_settings={name: value for name in names if (value := env.text(name))},
    )


def keep_token(path: Path) -> str:
    """Return the token in this file, which is made if it is missing. Raises OSError."""
    if not path.exists():
        write_atomically(path, secrets.token_urlsafe(24))
    return path.read_text(encoding="utf-8")


if __name__ == "__main__":
    watch()
