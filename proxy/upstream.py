"""The nodes behind the proxy, and how nginx picks one."""

from nginx.config.api import Section
from nginx.config.api.options import KeyValuesMultiLines

from proxy.settings import Balance, ProxySettings, ServerState, UpstreamServer

UPSTREAM = "app"

_METHOD: dict[Balance, tuple[str, str]] = {
    Balance.LEAST_CONN: ("least_conn", ""),
    Balance.RANDOM_TWO: ("random", "two"),
    Balance.IP_HASH: ("ip_hash", ""),
}


def upstream(settings: ProxySettings) -> Section:
    """Return the `upstream` block: zone, balancing directive, keep-alive, one line for each server."""
    # In the zone workers share failures and counts; `resolve` needs it, too.
    block = Section(f"upstream {UPSTREAM}", zone=[UPSTREAM, "128k"])
    if settings.balance is Balance.STICKY:
        block.options["sticky"] = ["cookie", settings.sticky_cookie, "path=/", "httponly", "samesite=lax"]
    elif settings.balance is Balance.HASH:
        # The consistent hash is by the server's name as written, so all addresses of one name would alternate.
        resolved = any(server.resolve for server in settings.servers)
        block.options["hash"] = ["$session_key"] if resolved else ["$session_key", "consistent"]
    elif settings.balance in _METHOD:
        directive, value = _METHOD[settings.balance]
        block.options[directive] = value
    # nginx wants these after the balancing directive.
    block.options["keepalive"] = settings.keepalive
    block.options["keepalive_timeout"] = f"{round(settings.keepalive_timeout * 1000)}ms"
    block.sections.add(KeyValuesMultiLines("server", [_server(settings, server) for server in settings.servers]))
    return block


def session_key_map(settings: ProxySettings) -> Section:
    """Return the map that sets $session_key: the session cookie, or the client's address where there is none.

    A regular expression, because nginx's $cookie_… variables can't name the hyphen in `__Host-`.
    """
    name = settings.session_cookie.replace(".", "\\.")
    cookie = f'"~(?:^|;\\s*)(?:__Host-)?{name}=(?<session_cookie>[^;]+)"'
    return Section("map $http_cookie $session_key", **{"default": "$remote_addr", cookie: "$session_cookie"})


def _server(settings: ProxySettings, server: UpstreamServer) -> list[str]:
    line = [server.address, f"max_fails={settings.max_fails}", f"fail_timeout={settings.fail_timeout}s"]
    sticky = settings.balance is Balance.STICKY
    # One name may resolve to many nodes: a common route would pin no client.
    if sticky and server.name and not server.resolve:
        line.append(f"route={server.name}")
    if server.state is not ServerState.UP:
        # Other policies pin no client, so draining means down.
        line.append("drain" if sticky and server.state is ServerState.DRAIN else "down")
    if server.resolve:
        line.append("resolve")
    return line
