"""The load balancer in front of several proxies: here an nginx beside the machines."""

import getpass
import re
import shutil
from pathlib import Path

from deploy.compose.services import PROXY_PORT
from deploy.local.processes import Process
from deploy.ports import free_ports
from deploy.spec import ClusterError
from deploy.swarm.machines import Machines
from deploy.waiting import http_ok, wait_until
from proxy import Nginx, NginxError, ProxySettings, UpstreamServer, render

_SECONDS_TO_START = 20.0


class LoadBalancer:
    """A load balancer at 127.0.0.1:`port`, with connections into the network of the machines.

    It sends a request to the proxy of any machine, and to another one where no connection comes about; a read goes to
    another one, too, where no answer comes within 4 s. A machine that did not answer gets one request each 10 s.
    """

    def __init__(self, machines: Machines, port: int) -> None:
        self.port = port or free_ports(1)[0]
        folder = self._folder = machines.folder / "load-balancer"
        self._process: Process | None = None
        folder.mkdir(mode=0o700)
        try:
            nginx = Nginx()
            conf = folder / "nginx.conf"
            nginx.install(_render(machines, self.port, folder), conf)
            log = machines.folder / "logs" / "load-balancer.log"
            process = self._process = machines.run_beside(self.port, nginx.command(conf, folder), log, folder)
            message = "the load balancer before the machines does not answer"
            wait_until(lambda: self._answers(process), _SECONDS_TO_START, message)
        except BaseException as error:  # Ctrl-C too
            self.close()
            if isinstance(error, NginxError):
                raise ClusterError(str(error)) from error
            raise

    def close(self) -> None:
        """End it; open requests are dropped."""
        try:
            if self._process is not None:
                self._process.terminate()
                self._process.wait_ended(5.0)
        finally:
            # Clusters on the same machines follow one another, each with a load balancer of its own.
            shutil.rmtree(self._folder, ignore_errors=True)

    def _answers(self, process: Process) -> bool:
        if process.ended():
            raise ClusterError(f"the load balancer before the machines has ended: {process.log_tail()}")
        return http_ok(self.port, "/proxy/health")


def _render(machines: Machines, port: int, folder: Path) -> str:
    text = render(
        ProxySettings(
            servers=tuple(UpstreamServer(f"{machines.address(name)}:{PROXY_PORT}", name) for name in machines.names),
            listen=f"127.0.0.1:{port}",
            runtime_dir=folder,
            error_log="stderr",
            user=getpass.getuser(),
            # The proxies behind it have the limits, and know how long a node may take.
            login_rate=None,
            max_in_flight=None,
            max_per_session=None,
            read_timeout=20.0,
            get_timeout=4.0,
            tries=len(machines.names),
            tries_timeout=10.0,
            max_fails=1,
            fail_timeout=10,
            expose_internals=True,
            nginx_version=Nginx().version,
        )
    )
    # Those of the proxies behind it tell which node answered.
    return re.sub(r"add_header X-Upstream[^;]*;", "", text)
