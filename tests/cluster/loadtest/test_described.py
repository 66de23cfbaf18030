"""Experiments on an application that is none of the project's, as its file describes it."""

import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from deploy.local.redis_server import RedisBinary
from deploy.ports import free_ports
from loadtest.claims.claim import Verdict
from loadtest.results import read_results
from tests.support.commands import interrupt_command, run_command, running_console
from tests.support.console_client import ConsoleClient
from tests.support.described import COUNT, write_small_shop
from tests.support.waiting import lives, wait_until


@pytest.mark.alone
def test_experiments_on_a_target_do_not_judge_what_its_file_has_no_request_for(tmp_path: Path) -> None:
    file, out = write_small_shop(tmp_path, requests=COUNT).path, tmp_path / "out"
    done = run_command("failover", "run", "--target", file, "kill-node", "14", "--short", "--users", 12, "--out", out)
    killed, outage = read_results(out).results
    assert (killed.fault, outage.fault) == ("kill node-2", "pause the store"), done.stdout + done.stderr
    assert killed.node == outage.node == "Shop"
    for result in (killed, outage):
        assert result.findings is not None, result.reason
        assert result.findings.sessions_lost == result.findings.updates_lost == 0, "the store keeps all"
        claims = {one.claim: one for one in result.claims}
        unseen = claims["no logout is undone"]
        assert (unseen.verdict, unseen.reason) == (
            Verdict.NOT_LOOKED_FOR,
            "shop.toml has no request logout, end_others or password",
        )
        assert not [one for one in result.claims if "logout" in one.claim and one.holds]
        assert claims["the cluster is steady after the undo"].holds
        assert result.command.endswith("--users 12 --short")
    assert {one.claim: one for one in outage.claims}["writes are refused with an error"].holds
    shown = " ".join(done.stdout.split())
    assert "not looked for: no logout is undone (shop.toml has no request logout, end_others or password)." in shown
    page = (out / "report.html").read_text()
    assert "Not looked for: no logout is undone (shop.toml has no request logout, end_others or password)." in page


def test_what_does_not_fit_is_refused_before_anything_starts(tmp_path: Path) -> None:
    file = write_small_shop(tmp_path).path
    done = run_command("failover", "run", "--target", file, "kill-node", "scale", "slow-store.slow")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "Error: slow-store.slow cannot run: the file has no runtime.store_proxy before the store",
        "scale cannot run: the runtime processes can't change the number of nodes",
    ]
    listed = run_command("failover", "list", "--target", file)
    assert listed.returncode == 0, listed.stderr
    rows = {words[1]: words[2:] for line in listed.stdout.splitlines() if len(words := line.split()) > 2}
    assert rows["kill-node"] == ["yes", "kill", "node-2"]
    assert rows["scale"][0] == "no:"


def test_sigterm_undoes_the_fault_of_what_was_found_and_ends_what_was_started(tmp_path: Path) -> None:
    description = write_small_shop(tmp_path, pid_file="redis.pid")
    assert description.file.runtime is not None
    port = description.file.runtime.environment["SHOP_STORE"]
    store = subprocess.Popen([RedisBinary().path, "--port", port, "--bind", "127.0.0.1", "--save", ""], cwd=tmp_path)
    try:
        (tmp_path / "redis.pid").write_text(str(store.pid))
        words = ("failover", "run", "--target", description.path, "store-outage", "--out", tmp_path / "out")
        status, _, processes = interrupt_command(signal.SIGTERM, "Shop): watch", *words, "--users", 12)
        assert status == 130
        assert processes >= 5, "nginx, two nodes, the load and the prober"
        assert store.poll() is None, "it was found running"
        wait_until(lambda: psutil.Process(store.pid).status() != psutil.STATUS_STOPPED, "it is resumed")
    finally:
        store.kill()
        store.wait()


def test_the_console_breaks_and_repairs_a_target(tmp_path: Path) -> None:
    file = write_small_shop(tmp_path, requests=COUNT).path
    with running_console(tmp_path, "--target", str(file), "--users", "4") as (process, address):
        console = ConsoleClient(address)
        wait_until(lambda: console.operations() > 10, "users work")
        snapshot = console.state()
        assert {one["name"]: one["own_name"] for one in snapshot["members"]} == {
            "proxy": "front", "node-1": "web-a", "node-2": "web-b", "store": "redis"
        }  # fmt: skip
        assert snapshot["cluster"]["target"] == "Shop"
        assert snapshot["refused"]["experiment scale"]["values"]["why"] == (
            "the runtime processes can't change the number of nodes"
        )
        assert console.answer("commands", {"do": "nodes", "to": "3"})[0] == 409
        status, refused = console.answer("session/")
        assert (status, "which a target has not" in refused["error"]) == (409, True)
        console.ask("commands", {"do": "kill", "on": "node-2"})
        wait_until(lambda: console.member("node-2")["state"] == "ended", "it is killed")
        console.ask("commands", {"do": "undo"})
        wait_until(lambda: console.member("node-2")["state"] == "running", "it runs again")
        family = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
        wait_until(lambda: not lives(*family), "every process has ended")


def test_answers_come_late_behind_the_proxy_that_the_file_names(tmp_path: Path) -> None:
    (listen,) = free_ports(1)
    description = write_small_shop(tmp_path)
    assert description.file.runtime is not None
    port = description.file.runtime.environment["SHOP_STORE"]
    proxy = f'store_proxy = {{ listen = "127.0.0.1:{listen}", to = "127.0.0.1:{port}" }}'
    text = description.path.read_text().replace(f'SHOP_STORE = "{port}"', f'SHOP_STORE = "{listen}"')
    description.path.write_text(text.replace('kind = "processes"', f'kind = "processes"\n{proxy}'))
    out = tmp_path / "out"
    done = run_command("failover", "run", "--target", description.path, "late-writes", "--short", "--out", out)
    (late,) = read_results(out).results
    assert late.fault == "slow the store down by 60 ms", done.stdout + done.stderr
    assert late.findings is not None, late.reason
    during, before = (late.findings.phases[name] for name in ("during", "before"))
    assert during.p50 >= 60, "each round trip takes 60 ms"
    assert before.p50 < during.p50
    assert late.findings.revived == 0
