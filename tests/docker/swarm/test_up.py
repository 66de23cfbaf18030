"""`session-cluster swarm up`, `status` and `down` on a swarm of several machines, as their users run them."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.compose.docker import Engine
from deploy.swarm.cluster import build_image
from deploy.swarm.load_balancer import LoadBalancer
from deploy.swarm.machines import Machines
from deploy.swarm.stack import Stack, Task, read_users
from tests.support.commands import COMMAND
from tests.support.http_client import HttpClient
from tests.support.node import ROOT
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(600)]

NAME, STORE = "shop", "machine-3"
RELEASE, BROKEN = "FROM {image}\nENV RELEASE={name}\n", "FROM {image}\nENV PYTHONHOME=/nowhere\n"
# Machines that share two cores answer each other late, and their clients here have one address.
PATIENT = (
    "STORE_READ_TIMEOUT=0.8 STORE_CONNECT_TIMEOUT=0.5 HEALTH_RETRIES=20 START_PERIOD=120s SESSION_ANONYMOUS_RATE=0"
)
USERS = ("alice", "bob", "carol")


class Shop:
    """The stack, and the load balancer in front of its machines."""

    def __init__(self, machines: Machines, folder: Path) -> None:
        self.machines, self.folder = machines, folder
        self.image = build_image()
        self.stack = Stack(NAME, machines.manager())
        self.load_balancer: LoadBalancer | None = None

    def run(self, command: str, *words: str, status: int = 0, **environ: str) -> str:
        """Run a command with the first machine's engine; return what it says."""
        options = ("swarm", command, "--name", NAME, *words)
        environment = {**os.environ, "DOCKER_HOST": self.machines.manager().host, "COLUMNS": "300", **environ}
        process = [*COMMAND, *options]
        done = subprocess.run(
            process, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=400, check=False
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    def up(self, *words: str, status: int = 0, **environ: str) -> str:
        chosen = words if "--image" in words else ("--image", self.image, *words)
        return self.run("up", "--state", str(self.folder), "--timeout", "300", *chosen, status=status, **environ)

    def build(self, name: str, text: str = RELEASE) -> str:
        """Build another image of the nodes on each machine; return its name."""
        image = f"{self.image}:{name}"
        for machine in self.machines.names:
            engine = Engine({"DOCKER_BUILDKIT": "0"}, self.machines.engine(machine).host)
            engine.docker("build", "--quiet", "--tag", image, "-", stdin=text.format(image=self.image, name=name))
        return image

    def browser(self, user: str = "") -> HttpClient:
        """Return a new client, of a user who has logged in or of a visitor."""
        if self.load_balancer is None:
            self.load_balancer = LoadBalancer(self.machines, 0)
        browser = HttpClient(f"http://127.0.0.1:{self.load_balancer.port}")
        if user:
            wait_served(browser)
            browser.log_in(read_users(self.folder), user)
        return browser

    def running(self, service: str) -> list[Task]:
        """Return the tasks of a service that run."""
        tasks = (one for one in self.stack.tasks() if one.desired == "Running" and one.name.startswith(f"{service}."))
        return [one for one in tasks if one.state.startswith("Running")]

    def images(self, service: str) -> list[str]:
        """Return the image of each task of a service that runs."""
        return [one.image for one in self.running(service)]

    def machines_of(self, service: str) -> set[str]:
        """Return the machines on which a service runs."""
        return {one.machine for one in self.running(service)}

    def configuration(self, machine: str) -> str:
        """Return the nginx.conf of the proxy on a machine."""
        engine = self.machines.engine(machine)
        (proxy,) = engine.docker(
            "ps", "--quiet", "--filter", f"label=com.docker.swarm.service.name={NAME}_proxy"
        ).split()
        return engine.docker("exec", proxy, "cat", "/cluster/proxy/nginx.conf")


def wait_served(browser: HttpClient) -> None:
    wait_until(lambda: all(browser.get("/me").ok for _ in range(9)), "each node serves, and knows the store", 120)


@pytest.fixture(scope="module")
def shop(machines: Machines, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The stack, started by `up`. Tests leave it running, with its own Redis."""
    shop = Shop(machines, tmp_path_factory.mktemp("swarm") / "state")
    variables = (word for each in PATIENT.split() for word in ("--set", each))
    said = shop.up("--resolve-image", "never", "--store-machine", STORE, "--host", "shop.example", *variables)
    assert f"http://{machines.address('machine-1')}:8080" in said
    assert f"3 nodes, sessions in a Redis on {STORE}, balancing round_robin" in said
    yield shop
    if shop.load_balancer is not None:
        shop.load_balancer.close()


def test_status_shows_what_runs_where(shop: Shop) -> None:
    said = shop.run("status")
    for service, count in (("proxy", 3), ("node", 3), ("redis", 1)):
        assert re.search(rf"^{service} +{count} of {count}\b", said, re.MULTILINE), said
    assert re.search(rf"^redis\.1 +{STORE} +Running ", said, re.MULTILINE)
    shop.run("status", "--name", "other", status=1)


def test_an_update_replaces_the_image_and_nothing_else_and_a_broken_one_is_rolled_back(shop: Shop) -> None:
    browser = shop.browser("alice")
    release = shop.build("release-2")
    shop.up("--image", release)
    assert shop.images("node") == [release] * 3
    assert browser.user == "alice"
    said = shop.up("--image", shop.build("broken", BROKEN), status=1)
    assert said.startswith("Error: the update of node was rolled back: ")
    assert len(said.splitlines()) == 1
    assert shop.images("node") == [release] * 3
    assert re.search(r"^node +3 of 3 +rollback_completed", shop.run("status"), re.MULTILINE)
    assert browser.user == "alice"
    shop.up()
    assert shop.images("node") == [f"{shop.image}:latest"] * 3
    assert browser.user == "alice"


def test_another_balancing_policy_reaches_each_proxy_and_stays_at_the_next_up(shop: Shop) -> None:
    browser = shop.browser("bob")
    for words in (("--balance", "least_conn"), ("--set", "LOG_LEVEL=debug")):
        shop.up(*words)
        for name in shop.machines.names:
            conf = shop.configuration(name)
            assert "least_conn;" in conf
            assert "shop.example" in conf
        assert browser.user == "bob"
    shop.up("--balance", "round_robin", "--set", "LOG_LEVEL=")
    assert "least_conn;" not in shop.configuration("machine-2")


def test_users_are_logged_in_after_down_and_up(shop: Shop) -> None:
    browsers = [shop.browser(user) for user in USERS]
    said = shop.run("down")
    assert f"removed {NAME}" in said
    assert f"remove them on {STORE}: docker volume rm {NAME}_redis-data" in said
    assert shop.stack.services() == []
    for kind in ("secret", "config", "network"):
        names = shop.stack.engine.docker(kind, "ls", "--format", "{{.Name}}").split()
        assert not [name for name in names if name.startswith(NAME)]
    shop.run("down", status=1)
    # By the engine of another machine than the one that has the volume; its name is not given again.
    assert f"sessions in a Redis on {STORE}" in shop.up()
    for user, browser in zip(USERS, browsers, strict=True):
        wait_served(browser)
        assert browser.user == user


def test_the_machine_of_the_store_is_unplugged_and_nobody_is_logged_out(shop: Shop) -> None:
    browsers = [shop.browser(user) for user in USERS]
    shop.machines.cut_off(STORE)
    wait_until(lambda: browsers[0].get("/me").status_code == 503, "the store is unknown", 60)
    assert browsers[0].get("/live").ok, "what needs no session goes on"
    left = {"machine-1", "machine-2"}

    def moved() -> bool:
        nodes = [one for one in shop.stack.tasks() if one.desired == "Running" and one.name.startswith("node.")]
        return len(nodes) == 3 and {one.machine for one in nodes if one.state.startswith("Running")} == left

    wait_until(moved, "its node was started elsewhere", 120)
    for browser in browsers:
        answer = browser.get("/me")
        assert answer.status_code == 503
        assert "Set-Cookie" not in answer.headers
    shop.machines.connect(STORE)
    wait_until(lambda: STORE in shop.machines_of("proxy"), "the managers know that it is back", 120)
    shop.stack.wait_deployed(120)
    for user, browser in zip(USERS, browsers, strict=True):
        wait_served(browser)
        assert browser.user == user
    assert STORE not in shop.machines_of("node"), "Swarm moves none back"
    shop.stack.engine.docker("service", "update", "--force", f"{NAME}_node", timeout=300)
    assert STORE in shop.machines_of("node")


def test_a_store_outside_of_the_stack_is_taken_in_so_many_words_and_stays(shop: Shop) -> None:
    port, password = 6390, "c0rrect-h0rse"
    own = shop.browser("alice")
    server = ("redis-server", "--port", str(port), "--requirepass", password, "--protected-mode", "no")
    shop.stack.engine.docker("run", "--detach", "--network", "host", "redis:8", *server)
    url = f"redis://:{password}@{shop.machines.address('machine-1')}:{port}/0"
    refused = shop.up(status=2, STORE_URL=url)
    assert refused.startswith("Error: --store-url names another store")
    assert "sessions in a store outside of the stack" in shop.up("--change-store", STORE_URL=url)
    assert re.search(r"^redis +0 of 0", shop.run("status"), re.MULTILINE)
    assert shop.running("redis") == []
    browser = shop.browser("carol")
    stranger = shop.browser()
    stranger.cookies.update(own.cookies)
    assert stranger.user is None
    release = shop.build("release-3")
    shop.up("--image", release)
    assert set(shop.images("node")) == {release}
    assert browser.user == "carol"
    shop.up("--store-url", "none", "--change-store")
    wait_served(own)
    assert own.user == "alice", "what was in its volume is still there"
