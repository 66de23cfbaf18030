"""The one-shot service `setup` of compose.yaml: makes the secrets of the first start, and the proxy's configuration.

Each folder below is a volume that only those containers see who need it. What belongs to other users than this
image's is readable by all of them, since an ordinary user cannot give a file away; within its volume that is the same.
"""

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

import click

from deploy import acl
from deploy.container_proxy import container_settings
from deploy.errors import ClusterError
from deploy.spec import parse_balance
from nodes.accounts import UsersError, create_users
from proxy import ProxySettingsError, render

NODE, STORE, PROXY, USERS = (Path("/cluster") / name for name in ("node", "store", "proxy", "users"))
PASSWORDS = USERS / "passwords.json"
CONF = PROXY / "nginx.conf"
REDIS_VERSION = (8, 0, 0)


@click.group()
def setup() -> None:
    """What the cluster's containers need before they start."""


@setup.command()
def prepare() -> None:
    """Make what is missing, and write the proxy's configuration from the environment."""
    try:
        _make_secrets([name.strip() for name in os.environ["CLUSTER_USERS"].split(",")])
        _write(CONF, configuration(os.environ), 0o644)
    except (ClusterError, UsersError, ProxySettingsError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"Open http://127.0.0.1:{os.environ['PROXY_PORT']}")
    click.echo("Who can log in:  docker compose run --rm --no-deps setup passwords")


@setup.command()
@click.option("--json", "as_json", is_flag=True, help="The file that `load` gets.")
def passwords(as_json: bool) -> None:
    """Print who can log in, with which password."""
    try:
        text = PASSWORDS.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise click.ClickException("there are none before the first `docker compose up`") from None
    if as_json:
        click.echo(text)
        return
    for name, password in json.loads(text)["users"].items():
        click.echo(f"{name}  {password}")


def configuration(environ: Mapping[str, str]) -> str:
    """The nginx.conf for the variables of compose.yaml. Raises ClusterError or ProxySettingsError."""
    rate = environ["PROXY_LOGIN_RATE"]
    if not rate.isdecimal():
        raise ClusterError(f"PROXY_LOGIN_RATE={rate!r} cannot be: it must be a number, 0 for no limit")
    settings = container_settings(
        balance=parse_balance(environ["BALANCE"]),
        hosts=tuple(host.strip() for host in environ["PROXY_HOSTS"].split(",")),
        session_cookie=environ["SESSION_NAME"],
        login_rate=int(rate) or None,
    )
    return render(settings)


def _make_secrets(names: list[str]) -> None:
    """Keeps what is there. The last file of each part says that the part is whole, if a start is interrupted."""
    if not (NODE / "session-secrets").exists():
        password = secrets.token_hex(32)
        _write(STORE / "users.acl", acl.acl_file(password, REDIS_VERSION), 0o644)
        _write(STORE / "password", password, 0o644)
        _write(NODE / "redis-url", f"redis://{acl.NODE}:{password}@redis:6379/0", 0o600)
        _write(NODE / "session-secrets", secrets.token_hex(32) + "\n", 0o600)
    users = NODE / "users.json"
    if not (users.exists() and PASSWORDS.exists()):
        users.unlink(missing_ok=True)
        word = secrets.token_urlsafe(15)
        _write(PASSWORDS, json.dumps({"users": dict.fromkeys(names, word)}), 0o600)
        create_users(users, names, word)


def _write(path: Path, text: str, mode: int) -> None:
    """Whole or not at all."""
    draft = path.with_name(f".{path.name}.new")
    draft.touch(mode=0o600)
    draft.write_text(text, encoding="utf-8")
    draft.chmod(mode)
    draft.replace(path)


if __name__ == "__main__":
    setup(prog_name="setup")
