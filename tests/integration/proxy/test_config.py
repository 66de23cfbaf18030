"""The text of nginx.conf passes `nginx -t`."""

import getpass
import os
from pathlib import Path

import pytest

from proxy import Balance, Nginx, ProxySettings, Server, ServerState, render

NODES = tuple(Server(f"127.0.0.1:{8000 + number}", f"node-{number}") for number in (1, 2, 3))


@pytest.mark.parametrize("state", list(ServerState))
@pytest.mark.parametrize("balance", list(Balance))
def test_every_policy_and_state_passes_nginx_t(tmp_path: Path, balance: Balance, state: ServerState) -> None:
    nginx = Nginx()
    settings = ProxySettings(
        servers=(*NODES[:2], Server("127.0.0.1:8003", "node-3", state)),
        runtime_dir=tmp_path,
        balance=balance,
        nginx_version=nginx.version,
    )
    nginx.install(render(settings), tmp_path / "nginx.conf")


@pytest.mark.parametrize("balance", list(Balance))
def test_a_hundred_nodes_and_every_option_pass_nginx_t(tmp_path: Path, balance: Balance) -> None:
    folder = tmp_path / "a folder  with (odd) = characters, ü"
    folder.mkdir()
    nginx = Nginx()
    settings = ProxySettings(
        servers=tuple(Server(f"127.0.0.1:{8000 + number}", f"node-{number:027}") for number in range(100)),
        runtime_dir=folder,
        listen="*:8080",
        hosts=("localhost", "shop.example", "*.shop.example", "[::1]", "10.0.0.1"),
        balance=balance,
        resolver="127.0.0.11",
        user=getpass.getuser() if os.geteuid() == 0 else None,
        worker_processes=4,
        login_rate=None,
        nginx_version=nginx.version,
    )
    nginx.install(render(settings), folder / "nginx.conf")
    assert (folder / "error.log").is_file()
