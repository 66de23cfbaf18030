"""`session-cluster proxy-config`: the nginx.conf for given settings, on standard output or in a file."""

import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import click

from proxy.config import render
from proxy.nginx import Nginx, NginxError, write_atomically
from proxy.settings import (
    Balance,
    ProxySettings,
    ProxySettingsError,
    ServerState,
    Tls,
    UpstreamServer,
    Version,
    did_you_mean,
)


class UsageError(click.ClickException):
    """A wrong value: one line, without Click's usage around it. It names the option instead of the setting."""

    exit_code = 2

    def __init__(self, error: Exception, **options: str) -> None:
        for option in click.get_current_context().command.params:
            options.setdefault(option.opts[0].lstrip("-").replace("-", "_"), option.opts[0])
        name, space, rest = str(error).partition(" ")
        super().__init__(f"{options.get(name, name)}{space}{rest}")


class GroupedCommand(click.Command):
    """A command whose help has groups of options: `groups` has their headings, by the option each begins with."""

    def __init__(self, *args: Any, groups: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._groups = groups

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        heading = "Options"
        for parameter in self.get_params(ctx):
            heading = self._groups.get(parameter.opts[-1], heading)
            if isinstance(parameter, click.Option) and (record := parameter.get_help_record(ctx)) is not None:
                groups.setdefault(heading, []).append(record)
        width = max(len(option) for rows in groups.values() for option, _ in rows)
        for heading, rows in groups.items():
            with formatter.section(heading):
                formatter.write_dl([(option.ljust(width), text) for option, text in rows])


@click.command(
    "proxy-config",
    cls=GroupedCommand,
    groups={
        "--server": "Nodes",
        "--listen": "Clients",
        "--login-rate": "Limits",
        "--runtime-dir": "nginx",
        "--output": "Options",
    },
    short_help="Print an nginx.conf for given nodes.",
    context_settings={"show_default": True},
)
@click.option(
    "--server",
    "servers",
    metavar="[NAME=]HOST:PORT",
    multiple=True,
    default=("node-1=127.0.0.1:8001", "node-2=127.0.0.1:8002", "node-3=127.0.0.1:8003"),
    help="Address of a node; may be repeated. NAME is its value in the sticky cookie.",
)
@click.option("--drain", metavar="NAME", multiple=True, help="Send this node pinned clients only; may be repeated.")
@click.option(
    "--down",
    metavar="NAME",
    multiple=True,
    help="Send this node no clients; pinned ones move to others. May be repeated.",
)
@click.option("--resolve", is_flag=True, help="Repeat the DNS lookups of the nodes' names while nginx runs.")
@click.option(
    "--resolver", metavar="HOST", help="Address or name of the DNS server for --resolve, such as 127.0.0.11, Docker's."
)
@click.option(
    "--balance",
    metavar="POLICY",
    default=Balance.ROUND_ROBIN.value,
    help=f"How a node is picked: {', '.join(Balance)}.",
)
@click.option(
    "--session-cookie",
    metavar="NAME",
    default="session",
    help="The session cookie, for --balance hash and --max-per-session.",
)
@click.option("--listen", metavar="ADDRESS:PORT", default="127.0.0.1:8080", help="Where nginx listens.")
@click.option(
    "--tls",
    nargs=2,
    type=click.Path(path_type=Path),
    metavar="CERT KEY",
    help="Listen with TLS: the files of the certificate and its key (PEM).",
)
@click.option(
    "--hsts",
    type=int,
    default=0,
    metavar="SECONDS",
    help="Max-age of Strict-Transport-Security, with --tls; 0: not sent.",
)
@click.option(
    "--host",
    "hosts",
    metavar="NAME",
    multiple=True,
    default=("127.0.0.1", "localhost"),
    help="Host that is served; may be repeated. Connections for other hosts are closed.",
)
@click.option(
    "--trusted-proxy",
    "trusted_proxies",
    metavar="NETWORK",
    multiple=True,
    help="Address or network of a proxy in front of this one, whose X-Forwarded-For and X-Forwarded-Proto count; may be"
    " repeated.",
)
@click.option(
    "--expose-internals",
    is_flag=True,
    help="Let clients have /metrics and /ready of the nodes, and the nodes' addresses in X-Upstream.",
)
@click.option("--login-rate", type=int, metavar="N", default=20, help="Logins per second of a client; 0: no limit.")
@click.option(
    "--max-in-flight",
    type=int,
    metavar="N",
    default=100,
    help="Requests that the nodes work on at one time; more are answered 503. 0: no limit.",
)
@click.option(
    "--max-per-session",
    type=int,
    metavar="N",
    default=20,
    help="How many of --max-in-flight may be of one session, by its cookie. 0: no limit.",
)
@click.option(
    "--max-per-address",
    type=int,
    metavar="N",
    default=0,
    help="How many of --max-in-flight may be of one address; not for clients that share one. 0: no limit.",
)
@click.option(
    "--max-body-bytes", type=int, metavar="N", default=1024 * 1024, help="Largest body of a request, in bytes."
)
@click.option(
    "--runtime-dir",
    type=click.Path(path_type=Path),
    default=Path(tempfile.gettempdir()) / "session-cluster",
    help="Where nginx keeps its pid, temporary files and logs.",
)
@click.option("--access-log", metavar="PATH", default="access.log", help="The access log, relative to --runtime-dir.")
@click.option(
    "--error-log", metavar="PATH", default="error.log", help="The error log, relative to --runtime-dir; or stderr."
)
@click.option(
    "--worker-processes", metavar="N", default="auto", help="Number of nginx's workers; auto: one for each core."
)
@click.option(
    "--user", metavar="NAME", help="System user of nginx's workers, if root starts it.  [default: nginx's own]"
)
@click.option("--nginx", metavar="PATH", help="The nginx to write for and to test with.  [default: the embedded one]")
@click.option(
    "--nginx-version", metavar="X.Y.Z", help="Write for this version of nginx.  [default: the version of --nginx]"
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write this file instead of printing. The old one stays whole until the new one is complete.",
)
@click.option(
    "--test", is_flag=True, help="Check the result with nginx -t first; if that fails, print and write nothing."
)
def proxy_config(nginx: str | None, nginx_version: str | None, output: Path | None, test: bool, **options: Any) -> None:
    """Print an nginx.conf that balances requests over the given nodes.

    Exit status: 0 printed or written; 1 nginx or the system refused it; 2 wrong usage.
    """
    try:
        settings = _settings(nginx_version, **options)
    except ProxySettingsError as error:
        raise UsageError(error, hsts_seconds="--hsts", trusted_proxies="--trusted-proxy") from error
    try:
        binary = Nginx(nginx) if test or nginx_version is None else None
        if binary and nginx_version is None:
            settings = replace(settings, nginx_version=binary.version)
        text = render(settings)
        if binary and test:
            _test(binary, text, settings.runtime_dir, output or Path("nginx.conf"))
        if output is None:
            click.echo(text, nl=False)
        elif output.is_symlink() or (output.exists() and not output.is_file()):  # a device or a pipe stays one
            output.write_text(text, encoding="utf-8")
        else:
            write_atomically(text, output)
    except (ProxySettingsError, NginxError) as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"cannot write {output}: {error.strerror}") from error


def _settings(
    nginx_version: str | None,
    *,
    servers: tuple[str, ...],
    drain: tuple[str, ...],
    down: tuple[str, ...],
    resolve: bool,
    balance: str,
    worker_processes: str,
    tls: tuple[Path, Path] | None,
    hsts: int,
    **options: Any,
) -> ProxySettings:
    if hsts and tls is None:
        raise ProxySettingsError("hsts needs --tls: over plain HTTP browsers ignore it")
    for name in ("login_rate", "max_in_flight", "max_per_session", "max_per_address"):
        if (limit := options[name]) < 0:
            raise ProxySettingsError(f"{name} must be a number from 0 to 1e12, not '{limit}'")
        options[name] = limit or None
    if nginx_version is not None:
        options["nginx_version"] = _version(nginx_version)
    return ProxySettings(
        servers=_servers(
            servers, dict.fromkeys(drain, ServerState.DRAIN) | dict.fromkeys(down, ServerState.DOWN), resolve
        ),
        balance=Balance.parse(balance),
        worker_processes=_worker_processes(worker_processes),
        tls=Tls(tls[0].absolute(), tls[1].absolute(), hsts) if tls else None,  # nginx would search beside its own file
        **options,
    )


def _servers(texts: tuple[str, ...], states: dict[str, ServerState], resolve: bool) -> tuple[UpstreamServer, ...]:
    servers = []
    for text in texts:
        name, _, address = text.rpartition("=")
        servers.append(UpstreamServer(address, name, states.get(name, ServerState.UP), resolve))
    names = [server.name for server in servers if server.name]
    for name in states:
        if name not in names:
            raise ProxySettingsError(f"no server has the name {name!r}: {did_you_mean(name, names)}")
    return tuple(servers)


def _version(text: str) -> Version:
    found = re.fullmatch(r"([0-9]{1,4})\.([0-9]{1,4})\.([0-9]{1,4})", text)
    if not found:
        raise ProxySettingsError(f"nginx_version must be three numbers, such as 1.31.3, not {text!r}")
    return int(found[1]), int(found[2]), int(found[3])


def _worker_processes(text: str) -> int | Literal["auto"]:
    if text == "auto":
        return "auto"
    if not re.fullmatch(r"[0-9]{1,4}", text):
        raise ProxySettingsError(f"worker_processes must be a number or auto, not {text!r}")
    return int(text)


def _test(binary: Nginx, text: str, runtime_dir: Path, target: Path) -> None:
    """Run `nginx -t`, which needs the runtime folder. One that was missing is removed afterwards."""
    missing: list[Path] = []
    try:
        missing = [folder for folder in (runtime_dir, *runtime_dir.parents) if not folder.exists()]
        runtime_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            conf = Path(folder) / "nginx.conf"
            conf.write_text(text, encoding="utf-8")
            binary.test(conf, target)
    except OSError as error:
        raise click.ClickException(f"cannot make {error.filename or runtime_dir}: {error.strerror}") from error
    finally:
        if missing:
            shutil.rmtree(missing[-1], ignore_errors=True)
