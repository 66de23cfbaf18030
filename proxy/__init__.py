"""nginx in front of the nodes: typed settings -> nginx.conf -> test, start, reload.

It imports neither Flask nor the other folders, so that other systems can use it as it is.
"""

from proxy.config import render
from proxy.nginx import Nginx, NginxError
from proxy.settings import Balance, ProxySettings, ProxySettingsError, ServerState, Tls, UpstreamServer

__all__ = [
    "Balance",
    "Nginx",
    "NginxError",
    "ProxySettings",
    "ProxySettingsError",
    "ServerState",
    "Tls",
    "UpstreamServer",
    "render",
]
