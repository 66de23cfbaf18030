"""nginx in front of the nodes: typed settings -> nginx.conf -> a proxy that is tested, started and reloaded.

Knows nothing of Flask or of the other folders, so that it can be taken into another system as it is.
"""

from proxy.config import render
from proxy.nginx import Nginx, NginxError
from proxy.settings import Balance, ProxySettings, ProxySettingsError, Server, ServerState, Tls

__all__ = [
    "Balance",
    "Nginx",
    "NginxError",
    "ProxySettings",
    "ProxySettingsError",
    "Server",
    "ServerState",
    "Tls",
    "render",
]
