"""The one-shot service `setup` of compose.yaml: secrets of the first start, and the configurations of the proxies."""

import json
import os
from collections.abc import Mapping

import click

from deploy.container_choice import check_store
from deploy.container_proxy import ALL_NODES, EXPRESS, PORT, TLS_PORT, container_settings
from deploy.container_secrets import AUTHORITY, CERTIFICATE, KEY, PASSWORDS, PROXY, make_secrets, write
from deploy.errors import ClusterError
from deploy.spec import StoreKind, parse_balance
from nodes.accounts import UsersError
from nodes.sessions import Outage
from nodes.settings import SettingsError
from proxy import ProxySettings, ProxySettingsError, Tls, render


@click.group()
def setup() -> None:
    """What the cluster's containers need before they start."""


@setup.command()
def prepare() -> None:
    """Make what is missing, and write the proxy's configuration from the environment."""
    try:
        check_store(os.environ)
        names, hosts = _listed(os.environ["CLUSTER_USERS"]), tuple(_listed(os.environ["PROXY_HOSTS"]))
        make_secrets(names, hosts, os.environ["STORE_SUBNET"])
        write(PROXY / "nginx.conf", configuration(os.environ), 0o644)
        write(PROXY / "nginx-tls.conf", configuration(os.environ, Tls(CERTIFICATE, KEY)), 0o644)
    except (ClusterError, SettingsError, UsersError, ProxySettingsError) as error:
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


@setup.command()
def certificate() -> None:
    """Print the certificate of the authority that a browser has to trust for https (--profile tls)."""
    try:
        click.echo(AUTHORITY.read_text(encoding="ascii"), nl=False)
    except FileNotFoundError:
        raise click.ClickException("there is none before the first `docker compose up`") from None


def configuration(environ: Mapping[str, str], tls: Tls | None = None) -> str:
    """The nginx.conf for the variables of compose.yaml. Raises ClusterError or ProxySettingsError."""
    rate = environ["PROXY_LOGIN_RATE"]
    if not rate.isdecimal():
        raise ClusterError(f"PROXY_LOGIN_RATE={rate!r} cannot be: it must be a number, 0 for no limit")
    # A read that is held until there is a primary must not be taken for one that a silent node has.
    held = {"get_timeout": ProxySettings.read_timeout} if environ["STORE_OUTAGE"] == Outage.WAIT.value else {}
    settings = container_settings(
        servers=(ALL_NODES, EXPRESS) if environ["SESSION_STORE"] == StoreKind.EXPRESS else (ALL_NODES,),
        balance=parse_balance(environ["BALANCE"]),
        hosts=tuple(_listed(environ["PROXY_HOSTS"])),
        session_cookie=environ["SESSION_NAME"],
        login_rate=int(rate) or None,
        tls=tls,
        listen=f"0.0.0.0:{TLS_PORT if tls else PORT}",
        **held,
    )
    return render(settings)


def _listed(value: str) -> list[str]:
    return [part.strip() for part in value.split(",")]


if __name__ == "__main__":
    setup(prog_name="setup")
