"""Files for an overlay, before `kubectl apply -k`: secrets, and an nginx.conf for other hosts or another cluster.

    python -m deploy.kubernetes.setup secrets FOLDER --redis
    python -m deploy.kubernetes.setup nginx --host shop.example.org > nginx.conf

Secrets that are in the folder already are kept. Keep the folder out of version control.
"""

import secrets as random
from pathlib import Path

import click

from deploy.files import write_atomically
from deploy.redis import acl, config
from deploy.spec import ClusterError, parse_balance
from nodes.accounts import UsersError, create_users
from proxy import Balance, ProxySettingsError, UpstreamServer, render
from proxy.containers import container_settings

NAMESPACE = "session-cluster"
DNS = "kube-dns.kube-system.svc.cluster.local"
"""The name of the cluster's DNS server, in most clusters also where CoreDNS serves it."""
_NODE_PORT, _REDIS_PORT = 8000, 6379
_REDIS = f"redis:{_REDIS_PORT}"
"""The address of the single Redis."""
_REDIS_VERSION = (8, 0, 0)
# What a process in the pod may use, and not the cores of its machine, which nginx would count.
_WORKERS = 2


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
def setup() -> None:
    """Make what an overlay needs: secrets, and nginx.conf."""


@setup.command(short_help="Make missing secrets in a folder, and print the users' passwords.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--redis", "is_single", is_flag=True, help="For the overlay with a single Redis: its password and users.")
@click.option("--redis-url", metavar="URL", help="For a store elsewhere: its URL, with the password of the nodes.")
@click.option("--users", default="alice,bob,carol", help="Who may log in at first, with commas between them.")
def secrets(folder: Path, is_single: bool, redis_url: str | None, users: str) -> None:
    """Make the secrets of an overlay in FOLDER. Print the password of each new user."""
    if is_single == (redis_url is not None):
        raise click.UsageError("name the store: either --redis, or --redis-url URL")
    try:
        names = [name.strip() for name in users.split(",")]
        for name, password in make_secrets(folder, names, redis_url).items():
            click.echo(f"{name}  {password}")
    except (OSError, UsersError, ClusterError) as error:
        raise click.ClickException(f"cannot make the secrets: {error}") from error


def make_secrets(folder: Path, users: list[str], redis_url: str | None) -> dict[str, str]:
    """Make missing secrets, and return the passwords of users that were made.

    Without a URL they are those of a single Redis, too. Raises OSError or UsersError, and ClusterError where the folder
    has the URL of another store.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if redis_url is None:
        _require_no_other_store(folder / "redis-url")
    _keep(folder / "session-secrets")
    if redis_url is not None:
        write_atomically(folder / "redis-url", redis_url)
    else:
        _write_redis(folder)
    return create_users(folder / "users.json", users)


@setup.command(short_help="Print an nginx.conf.")
@click.option("--namespace", default=NAMESPACE, help="The namespace of the nodes.")
@click.option("--domain", default="cluster.local", help="The cluster's domain.")
@click.option("--dns", default=DNS, help="Address or name of the cluster's DNS server.")
@click.option(
    "--host", "hosts", multiple=True, default=("shop.example.com",), help="A host of the route; once for each."
)
@click.option(
    "--trusted-proxy",
    "trusted",
    metavar="NETWORK",
    multiple=True,
    default=("10.0.0.0/8",),
    help="Network of the gateway's pods, whose X-Forwarded-For and -Proto count; once for each.",
)
@click.option("--balance", default=Balance.RANDOM_TWO.value, help=f"How a node is picked: {', '.join(Balance)}.")
def nginx(
    namespace: str, domain: str, dns: str, hosts: tuple[str, ...], trusted: tuple[str, ...], balance: str
) -> None:
    """Print the nginx.conf of the proxies."""
    try:
        click.echo(render_proxy(namespace, domain, dns, hosts, trusted, parse_balance(balance)), nl=False)
    except (ClusterError, ProxySettingsError) as error:
        raise click.ClickException(str(error)) from error


def render_proxy(
    namespace: str = NAMESPACE,
    domain: str = "cluster.local",
    dns: str = DNS,
    hosts: tuple[str, ...] = ("shop.example.com",),
    trusted: tuple[str, ...] = ("10.0.0.0/8",),
    balance: Balance = Balance.RANDOM_TWO,
) -> str:
    """Return the nginx.conf of the proxies. Raises ProxySettingsError."""
    # The full name: nginx knows no search domains.
    nodes = UpstreamServer(f"node.{namespace}.svc.{domain}:{_NODE_PORT}", resolve=True)
    # Probes ask for "localhost".
    changes = {"hosts": (*hosts, "localhost"), "trusted_proxies": trusted, "worker_processes": _WORKERS}
    return render(container_settings((nodes,), dns, balance=balance, **changes))


def _write_redis(folder: Path) -> None:
    """Write the configuration of a single Redis, its users, and the nodes' URL."""
    password, operator = _keep(folder / "redis-password"), _keep(folder / "redis-operator-password")
    passwords = acl.Passwords(node=password, operator=operator)
    options = {"port": str(_REDIS_PORT), "bind": "*", "protected-mode": "no", "appendonly": "yes"}
    options |= config.redis_options("/cluster/store/users.acl", "/data", _REDIS_VERSION)
    write_atomically(folder / "users.acl", acl.redis_acl(passwords, _REDIS_VERSION))
    write_atomically(folder / "redis.conf", config.redis_conf(options))
    write_atomically(folder / "redis-url", config.redis_url(password, _REDIS))


def _require_no_other_store(url: Path) -> None:
    """Raise ClusterError if this file has a URL that is not that of the single Redis, whatever its password is."""
    own = config.redis_url("", _REDIS).rpartition("@")[2]
    if url.exists() and url.read_text(encoding="utf-8").rpartition("@")[2] != own:
        raise ClusterError(f"{url} names another store; name another folder, or remove that file")


def _keep(path: Path) -> str:
    """Return the secret in this file, which is made if it is missing."""
    if not path.exists():
        write_atomically(path, random.token_hex(32))
    return path.read_text(encoding="utf-8")


if __name__ == "__main__":
    setup(prog_name="python -m deploy.kubernetes.setup")
