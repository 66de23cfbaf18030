"""Files of targets for tests: a small JSON interface, and the runtime that a test asks for."""

import os
from pathlib import Path

from deploy.local.redis_server import RedisBinary
from deploy.ports import free_ports
from loadtest.described.description import TargetDescription, read_description
from proxy.nginx import Nginx
from tests.support.node import ROOT

REQUESTS = """
[requests.look]
path = "/me"
user = { json = "/user" }
counter = { json = "/count" }

[requests.login]
path = "/login"
json = { user = "{user}", password = "{password}" }
user = { json = "/user" }
"""
LOGOUT = """
[requests.logout]
method = "POST"
path = "/logout"
"""
COUNT = """
[requests.count]
method = "POST"
path = "/count"
counter = { json = "/count" }
"""


def write_target(
    folder: Path, runtime: str, *, url: str = "http://127.0.0.1:9", requests: str = LOGOUT + COUNT
) -> TargetDescription:
    """Write shop.toml into a folder, and read it."""
    file = folder / "shop.toml"
    head = f'name = "Shop"\nurl = "{url}"\ncookie = "shop"\nsite = "/"\n\n[users]\ncount = 12\n'
    file.write_text(f'{head}name = "user-{{n}}"\npassword = "secret"\n{REQUESTS}{requests}\n{runtime}')
    return read_description(file)


def small_shop(folder: Path, *, pid_file: str = "", more: str = "") -> str:
    """Return the runtime of `tests.support.small_shop` behind nginx, with the URL as its first line.

    With `pid_file` the store is found by it. `more` is more of [runtime].
    """
    front, first, second, store = free_ports(4)
    (folder / "nginx.conf").write_text(
        f"""daemon off; worker_processes 1; pid nginx.pid; {"user root;" if os.geteuid() == 0 else ""}
        events {{ worker_connections 512; }}
        http {{
          access_log off;
          client_body_temp_path tmp; proxy_temp_path tmp;
          fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp;
          upstream nodes {{ server 127.0.0.1:{first} max_fails=0; server 127.0.0.1:{second} max_fails=0; }}
          server {{
            listen 127.0.0.1:{front};
            location / {{ proxy_pass http://nodes; proxy_connect_timeout 1s; proxy_read_timeout 5s; }}
          }}
        }}"""
    )
    node = "gunicorn --threads 16 -b 127.0.0.1:{} tests.support.small_shop:app"
    valkey = f"{RedisBinary().path} --port {store} --bind 127.0.0.1 --save '' --dir {folder}"
    return f"""# http://127.0.0.1:{front}
[runtime]
kind = "processes"
environment = {{ SHOP_STORE = "{store}" }}
roles.proxy = ["front"]
roles.node = ["web-a", "web-b"]
roles.store = ["redis"]
{more}
[runtime.members.redis]
start = "{valkey}"
ready = "tcp://127.0.0.1:{store}"
{f'pid_file = "{pid_file}"' if pid_file else ""}
[runtime.members.web-a]
start = "{node.format(first)}"
folder = "{ROOT}"
ready = "http://127.0.0.1:{first}/"
[runtime.members.web-b]
start = "{node.format(second)}"
folder = "{ROOT}"
ready = "http://127.0.0.1:{second}/"
[runtime.members.front]
start = "{Nginx().binary} -e stderr -p {{state}} -c {folder}/nginx.conf"
ready = "http://127.0.0.1:{front}/"
"""


def write_small_shop(folder: Path, *, requests: str = LOGOUT + COUNT, **given: str) -> TargetDescription:
    """Write the file of `small_shop`."""
    runtime = small_shop(folder, **given)
    url = runtime.splitlines()[0].removeprefix("# ")
    return write_target(folder, runtime, url=url, requests=requests)
