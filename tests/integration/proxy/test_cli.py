"""`proxy-config` from the outside: what it prints, what it writes, how it fails."""

import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from deploy.certificate import make_certificate
from proxy import Nginx, ProxySettings, UpstreamServer, render
from proxy.cli import proxy_config


def run(*arguments: object) -> Result:
    return CliRunner().invoke(proxy_config, [str(argument) for argument in arguments])


def failure(result: Result) -> str:
    """The error, which must be one line and the only output."""
    assert result.exit_code in (1, 2)
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line


def test_without_options_it_prints_three_local_nodes(tmp_path: Path) -> None:
    result = run("--runtime-dir", tmp_path)
    servers = tuple(UpstreamServer(f"127.0.0.1:{8000 + number}", f"node-{number}") for number in (1, 2, 3))
    assert result.exit_code == 0
    assert result.output == render(ProxySettings(servers=servers, runtime_dir=tmp_path, nginx_version=Nginx().version))


def test_the_containers_configuration_can_be_written_without_nginx(tmp_path: Path) -> None:
    output = tmp_path / "nginx.conf"
    result = run(
        *("--server", "node:8000", "--resolve", "--resolver", "127.0.0.11", "--listen", "0.0.0.0:8080"),
        *("--host", "localhost", "--host", "proxy", "--runtime-dir", "/tmp/nginx", "--access-log", "/dev/stdout"),
        *("--nginx-version", "1.31.3", "--nginx", "/nowhere/nginx", "--output", output),
    )
    assert (result.exit_code, result.output) == (0, "")
    text = output.read_text()
    assert "server node:8000 max_fails=3 fail_timeout=1s resolve;" in text
    assert "listen 0.0.0.0:8080 default_server;" in text
    assert "server_name localhost proxy;" in text
    assert 'pid "/tmp/nginx/nginx.pid";' in text
    assert stat.S_IMODE(output.stat().st_mode) == 0o644


def test_a_certificate_is_found_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_certificate(tmp_path, ("localhost",))
    monkeypatch.chdir(tmp_path)
    done = run("--tls", "certificate.pem", "key.pem", "--runtime-dir", tmp_path / "run", "--test")
    assert done.exit_code == 0, done.stderr
    assert f'ssl_certificate "{tmp_path}/certificate.pem";' in done.output


def test_a_link_stays_where_the_configuration_is_written(tmp_path: Path) -> None:
    link, target = tmp_path / "nginx.conf", tmp_path / "shop.conf"
    link.symlink_to(target)
    target.write_text("old")
    assert run("--runtime-dir", tmp_path, "--output", link).exit_code == 0
    assert link.is_symlink()
    assert "upstream" in target.read_text()


def test_draining_and_dead_nodes_are_given_by_name(tmp_path: Path) -> None:
    text = run("--balance", "sticky", "--drain", "node-1", "--down", "node-2", "--runtime-dir", tmp_path).output
    assert "route=node-1 drain;" in text
    assert "route=node-2 down;" in text
    assert "route=node-3;" in text


def test_a_login_rate_of_0_is_no_limit(tmp_path: Path) -> None:
    assert "limit_req" in run("--runtime-dir", tmp_path).output
    assert "limit_req" not in run("--login-rate", "0", "--runtime-dir", tmp_path).output


@pytest.mark.parametrize(
    ("status", "arguments", "error"),
    [
        (2, ["--balance", "stiky"], "Error: unknown balancing policy 'stiky': did you mean 'sticky'?"),
        (2, ["--drain", "node-4"], "Error: no server has the name 'node-4': did you mean 'node-3'?"),
        (2, ["--server", "node"], "Error: --server address must be "),
        (2, ["--server", "a:80", "--server", "a:80"], "Error: two servers have the address 'a:80': "),
        (2, ["--server", "n;=a:80"], "Error: --server name must be "),
        (2, ["--server", "node:8000", "--resolve"], "Error: --server node:8000 needs a resolver: set one"),
        (2, ["--host", "a;b"], "Error: --host must be "),
        (2, ["--listen", "0.0.0.0:99999"], "Error: --listen must be "),
        (2, ["--runtime-dir", "here"], "Error: --runtime-dir must be "),
        (2, ["--worker-processes", "many"], "Error: --worker-processes must be "),
        (2, ["--worker-processes", "0"], "Error: --worker-processes must be "),
        (2, ["--nginx-version", "1.31"], "Error: --nginx-version must be "),
        (2, ["--hsts", "60"], "Error: --hsts needs --tls: "),
        (2, ["--hsts", "-1", "--tls", "/cert", "/key"], "Error: --hsts must be a number from 0 to 1e12, "),
        (2, ["--login-rate", "-1"], "Error: --login-rate must be a number from 0 to 1e12, "),
        (2, ["--max-body-bytes", "0"], "Error: --max-body-bytes must be a number from 1 to 1e12, "),
        (2, ["--session-cookie", "a b"], "Error: --session-cookie must be "),
        (1, ["--nginx", "/nowhere/nginx"], "Error: nginx not found: no such file: /nowhere/nginx"),
        (1, ["--balance", "sticky", "--nginx-version", "1.22.1"], "Error: nginx 1.22.1 does not support balance "),
        (1, ["--output", "/nowhere/nginx.conf"], "Error: cannot write /nowhere/nginx.conf: No such file or directory"),
        (1, ["--output", "/dev/null/nginx.conf"], "Error: cannot write /dev/null/nginx.conf: Not a directory"),
        (1, ["--test", "--runtime-dir", "/dev/null/x"], "Error: cannot make /dev/null/x: Not a directory"),
    ],
)
def test_a_refused_setting_is_one_line(status: int, arguments: list[str], error: str) -> None:
    result = run(*arguments)
    assert failure(result).startswith(error)
    assert result.exit_code == status


def test_a_configuration_that_nginx_refuses_replaces_nothing(tmp_path: Path) -> None:
    output = tmp_path / "nginx.conf"
    output.write_text("as before")
    result = run("--test", "--server", "no.such.host.invalid:80", "--runtime-dir", tmp_path / "run", "--output", output)
    said = failure(result)
    assert said.startswith(f"Error: nginx refuses {output}: host not found in upstream")
    assert f" in {output}:" in said, "not in a temporary file"
    assert result.exit_code == 1
    assert output.read_text() == "as before"
    assert list(tmp_path.iterdir()) == [output]


def test_a_tested_configuration_is_written_without_leaving_a_draft(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    result = run("--test", "--runtime-dir", tmp_path / "run" / "nginx", "--output", folder / "nginx.conf")
    assert (result.exit_code, result.output) == (0, "")
    assert [path.name for path in folder.iterdir()] == ["nginx.conf"]
    assert list(tmp_path.iterdir()) == [folder]
    assert (folder / "nginx.conf").read_text().endswith("}\n")


def test_the_help_names_every_policy() -> None:
    text = " ".join(run("--help").output.split())
    assert "round_robin, least_conn, random_two, ip_hash, hash, sticky" in text
