"""The text of nginx.conf passes `nginx -t`."""

import getpass
import os
from pathlib import Path

import pytest

from proxy import Balance, Nginx, ProxySettings, Server, render


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
