"""The one-shot service `setup` of compose.yaml: checks the settings, and writes secrets and configuration files."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

import click

from deploy.certificate import CertificateError, make_certificate
from deploy.compose.proxy import ALL_NODES, EXPRESS, TLS_PORT
from deploy.compose.secret_files import CLUSTER, PASSWORDS, READABLE, write_secrets
from deploy.compose.services import PROFILES, PROXY_PORT
from deploy.files import write_atomically
from deploy.redis import config
from deploy.spec import ClusterError, Database, RedisMode, StoreKind, parse_balance, proxy_timeouts
from nodes.accounts import UsersError
from nodes.environment import Environment, SettingsError
from nodes.sessions import Durability, Outage
from proxy import ProxySettingsError, Tls, render
from proxy.containers import container_settings

SETTINGS = CLUSTER / "console" / "settings.json"
"""The variables below as the last `up` had them, for a console that may have been started by an earlier one."""
_SHOWN = (
    *("SESSION_STORE", "DATABASE", "REDIS_MODE", "BALANCE", "NODE_APP"),
    *("SESSION_NAME", "SESSION_IDLE_TIMEOUT", "SESSION_ABSOLUTE_TIMEOUT"),
)
_AUTHORITY, _CERTIFICATE, _KEY = (CLUSTER / "tls" / name for name in ("ca.pem", "certificate.pem", "key.pem"))
_REPLICAS = {RedisMode.STANDALONE: 0, RedisMode.SENTINEL: config.SERVERS - 1, RedisMode.CLUSTER: 1}
"""How many replicas a primary has."""
_SUBNET = re.compile(r"(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){2}(?:25[0-5]|2[0-4]\d|1?\d?\d)")


@click.group()
def setup() -> None:
    """Prepare what the cluster's containers need before they start."""


@setup.command()
def prepare() -> None:
    """Make missing secrets, and write configuration files from the environment."""
    try:
        check_settings(os.environ)
        names, hosts = _split(os.environ["CLUSTER_USERS"]), tuple(_split(os.environ["PROXY_HOSTS"]))
        # Both of them first: they check every setting of the proxy.
        plain, encrypted = render_proxy(os.environ), render_proxy(os.environ, Tls(_CERTIFICATE, _KEY))
        write_secrets(names, os.environ["STORE_SUBNET"], _down_after(os.environ))
        if not _KEY.exists():
            make_certificate(_KEY.parent, tuple(dict.fromkeys((*hosts, "::1"))))
        _KEY.chmod(READABLE)
        write_atomically(CLUSTER / "proxy" / "nginx.conf", plain, READABLE)
        write_atomically(CLUSTER / "proxy" / "nginx-tls.conf", encrypted, READABLE)
        write_atomically(SETTINGS, json.dumps({name: os.environ[name] for name in _SHOWN}))
    except (ClusterError, SettingsError, UsersError, ProxySettingsError) as error:
        raise click.ClickException(str(error)) from error
    except CertificateError as error:
        raise click.ClickException(f"PROXY_HOSTS: {error}") from error
    except OSError as error:
        raise click.ClickException(_explain(error)) from error
    click.echo(f"Open http://127.0.0.1:{os.environ['PROXY_PORT']}")
    click.echo("Who can log in:  docker compose run --rm --no-deps setup passwords")


@setup.command()
@click.option("--json", "as_json", is_flag=True, help="As the file that `load` gets.")
def passwords(as_json: bool) -> None:
    """Print the users and their passwords."""
    text = _read(PASSWORDS, "there are none before the first `docker compose up`")
    if as_json:
        click.echo(text)
        return
    for name, password in json.loads(text)["users"].items():
        click.echo(f"{name}  {password}")


@setup.command()
def certificate() -> None:
    """Print the certificate of the authority that a browser has to trust for https (--profile tls)."""
    click.echo(_read(_AUTHORITY, "there is none before the first `docker compose up`"), nl=False)


def check_settings(environ: Mapping[str, str]) -> None:
    """Refuse settings with which no node could start, before any container waits for a node.

    Raises ClusterError or SettingsError, in one line.
    """
    store = StoreKind.parse(environ["SESSION_STORE"])
    Database.parse(environ["DATABASE"])
    if store.has_several_servers:
        mode = RedisMode.from_store(store)
        instead = f"SESSION_STORE=redis REDIS_MODE={mode}, with --profile {PROFILES[mode]}"
        raise ClusterError(f"SESSION_STORE={store} is for local processes: set {instead}")
    mode = RedisMode.parse(environ["REDIS_MODE"])
    if mode is not RedisMode.STANDALONE and store is not StoreKind.REDIS:
        raise ClusterError(f"REDIS_MODE={mode} is for SESSION_STORE=redis, not for {store}: leave it out")
    if not _SUBNET.fullmatch(environ["STORE_SUBNET"]):
        given = environ["STORE_SUBNET"]
        raise ClusterError(f"STORE_SUBNET must be the first three parts of a subnet, as in 198.19.77, not {given}")
    env = Environment(environ)
    env.whole("MIN_REPLICAS", 0, 0, 2)
    _down_after(environ)
    outage = env.choice("STORE_OUTAGE", Outage.FAIL_FAST.value, [each.value for each in Outage])
    if outage == Outage.WAIT.value and store not in {StoreKind.REDIS, StoreKind.EXPRESS}:
        raise ClusterError("STORE_OUTAGE=wait: nodes wait only for a Redis; use it with SESSION_STORE=redis")
    durability = env.choice("STORE_DURABILITY", Durability.PRIMARY.value, [each.value for each in Durability])
    replicas = env.whole("STORE_REPLICAS", 0, 0, 100)
    if durability == Durability.PRIMARY.value:
        return
    if mode is RedisMode.STANDALONE:
        raise ClusterError(f"STORE_DURABILITY={durability}: a single Redis has no replicas; set REDIS_MODE=sentinel")
    if not 1 <= replicas <= _REPLICAS[mode]:
        allowed = " or ".join(str(number) for number in range(1, _REPLICAS[mode] + 1))
        raise ClusterError(f"STORE_REPLICAS={replicas} with STORE_DURABILITY={durability}: set it to {allowed}")


def render_proxy(environ: Mapping[str, str], tls: Tls | None = None) -> str:
    """Return the nginx.conf for the variables of compose.yaml. Raises ClusterError, SettingsError or
    ProxySettingsError."""
    settings = container_settings(
        servers=(ALL_NODES, EXPRESS) if environ["SESSION_STORE"] == StoreKind.EXPRESS else (ALL_NODES,),
        balance=parse_balance(environ["BALANCE"]),
        hosts=tuple(_split(environ["PROXY_HOSTS"])),
        session_cookie=environ["SESSION_NAME"],
        login_rate=_limit(environ, "PROXY_LOGIN_RATE"),
        trusted_proxies=tuple(filter(None, _split(environ["PROXY_TRUSTED"]))),
        expose_internals=Environment(environ).switch("PROXY_EXPOSE_INTERNALS", False),
        tls=tls,
        listen=f"0.0.0.0:{TLS_PORT if tls else PROXY_PORT}",
        **{
            **proxy_timeouts(Outage(environ["STORE_OUTAGE"])),
            "max_in_flight": _limit(environ, "PROXY_MAX_IN_FLIGHT"),
            "max_per_session": _limit(environ, "PROXY_MAX_PER_SESSION"),
            "max_per_address": _limit(environ, "PROXY_MAX_PER_ADDRESS"),
        },
    )
    return render(settings)


def _limit(environ: Mapping[str, str], name: str) -> int | None:
    """Return a limit of the proxy; None where there is none."""
    value = environ[name]
    if not value.isdecimal():
        raise ClusterError(f"{name} must be a number, or 0 for no limit, not {value!r}")
    return int(value) or None


def _read(path: Path, missing: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise click.ClickException(missing) from None
    except OSError as error:
        raise click.ClickException(_explain(error)) from error


def _explain(error: OSError) -> str:
    """Return in one line which file of the volumes failed, and why."""
    fix = "; the user of this container must own the volume" if isinstance(error, PermissionError) else ""
    return f"{error.filename or CLUSTER} cannot be used: {error.strerror}{fix}"


def _down_after(environ: Mapping[str, str]) -> float:
    return Environment(environ).seconds("DOWN_AFTER", 2.0, 0.2, 3600)


def _split(value: str) -> list[str]:
    return [part.strip() for part in value.split(",")]


if __name__ == "__main__":
    setup(prog_name="setup")
