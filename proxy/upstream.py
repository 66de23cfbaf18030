"""The nodes behind the proxy, how nginx picks one, and when a node is left out.

nginx leaves a node out that failed `max_fails` times, for `fail_timeout`. Slow nodes fail too, so it may leave out all
of them, and would then answer 502 itself ("no live upstreams") although every node lives. So each node is listed a
second time as a spare, whose failures do not count: nginx uses spares while no other server is left.
"""

from dataclasses import replace

from nginx.config.api import EmptyBlock, Section
from nginx.config.api.options import KeyValuesMultiLines

from proxy.settings import Balance, ProxySettings, ServerState, UpstreamServer

UPSTREAM = "app"
SPARES = "app_spares"
SECURE = "app_secure"
"""The same nodes for clients over TLS that ends before this proxy, whose sticky cookie is Secure."""
BODY = "body"
"""It has no server in use: nginx, which reads a request's body before it picks a server, then answers 502 itself."""

_WITHOUT_BACKUP = frozenset({Balance.RANDOM_TWO, Balance.IP_HASH, Balance.HASH})
"""Policies for which nginx has no `backup` servers: their spares are an upstream of their own."""
_METHOD: dict[Balance, tuple[str, str]] = {
    Balance.LEAST_CONN: ("least_conn", ""),
    Balance.RANDOM_TWO: ("random", "two"),
    Balance.IP_HASH: ("ip_hash", ""),
}


def has_separate_spares(settings: ProxySettings) -> bool:
    """Return whether there is an upstream SPARES."""
    return settings.spares and settings.balance in _WITHOUT_BACKUP


def has_secure_twin(settings: ProxySettings) -> bool:
    """Return whether there is an upstream SECURE: nginx has no variable for the attribute of the sticky cookie."""
    return settings.balance is Balance.STICKY and settings.tls is None and bool(settings.trusted_proxies)


def has_names(settings: ProxySettings) -> bool:
    """Return whether the DNS is asked for nodes again and again."""
    return any(server.resolve for server in settings.servers)


def upstreams(settings: ProxySettings) -> list[Section]:
    """Return the `upstream` blocks: zone, balancing directive, keep-alive, one line for each server."""
    servers = [_server(settings, server) for server in settings.servers]
    spares = [_spare(settings, server) for server in settings.servers]
    if has_separate_spares(settings):
        in_turn = replace(settings, balance=Balance.ROUND_ROBIN)
        return [_block(settings, UPSTREAM, servers), _block(in_turn, SPARES, spares)]
    if settings.spares:
        servers += ([*spare, "backup"] for spare in spares)
    blocks = [_block(settings, UPSTREAM, servers, is_secure=settings.tls is not None)]
    if has_secure_twin(settings):
        blocks.append(_block(settings, SECURE, servers, is_secure=True))
    return blocks


def body_block() -> Section:
    """Return the `upstream` block BODY."""
    return Section(f"upstream {BODY}", server=["127.0.0.1:1", "down"])


def body_maps() -> Section:
    """Return the map of requests whose body need not be waited for.

    A request over HTTP/2 may have a body whose length it does not tell.
    """
    key = "$request_method $server_protocol $content_length$http_transfer_encoding"
    return Section(f'map "{key}" $is_read_without_body', **{"default": "0", '"~^(GET|HEAD) HTTP/1\\.[01] 0?$"': "1"})


def _block(settings: ProxySettings, name: str, servers: list[list[str]], *, is_secure: bool = False) -> Section:
    # In the zone, which has room for 100 nodes, workers share failures and counts; `resolve` needs it, too.
    block = Section(f"upstream {name}", zone=[name, "256k"])
    if settings.balance is Balance.STICKY:
        secure = ["secure"] if is_secure else []
        block.options["sticky"] = ["cookie", settings.sticky_cookie, "path=/", "httponly", "samesite=lax", *secure]
    elif settings.balance is Balance.HASH:
        # The consistent hash is by the server's name as written, so all addresses of one name would alternate.
        block.options["hash"] = ["$session_key"] if has_names(settings) else ["$session_key", "consistent"]
    elif settings.balance in _METHOD:
        directive, value = _METHOD[settings.balance]
        block.options[directive] = value
    # nginx wants these after the balancing directive.
    block.options["keepalive"] = settings.keepalive
    block.options["keepalive_timeout"] = f"{round(settings.keepalive_timeout * 1000)}ms"
    block.sections.add(KeyValuesMultiLines("server", servers))
    return block


_CACHE_HEADERS = (
    "Cache-Control",
    *("CDN-Cache-Control", "Cloudflare-CDN-Cache-Control", "Netlify-CDN-Cache-Control", "Vercel-CDN-Cache-Control"),
    *("Edge-Control", "Surrogate-Control"),
)
"""Headers of a node that tell shared caches what to keep. nginx itself never passes `X-Accel-Expires` on."""


def sticky_maps(settings: ProxySettings) -> EmptyBlock:
    """Return what keeps the sticky cookie, which nginx sets in every answer of a node, out of shared caches.

    A node's `public` becomes `private`, which stands above `s-maxage`, and is added where it is missing: without a
    header a shared cache may keep an answer, too.
    """
    own = "$upstream_http_cache_control"
    is_public = '"~*^(?<cache_before>(?:.*[\\s,])?)public(?<cache_after>(?:[\\s,].*)?)$"'
    is_private = '"~*(?:^|[\\s,])(?:private|no-store)(?:$|[\\s,])"'
    private = {
        "default": f'"private, {own}"',
        '""': "private",
        is_public: '"${cache_before}private$cache_after"',
        is_private: own,
    }
    block = EmptyBlock(
        Section(f"map {own} $private_cache_control", **private),
        # Not in nginx's own answers, which have no cookie.
        Section("map $sent_http_set_cookie $cache_control", **{"default": "$private_cache_control", '""': own}),
        KeyValuesMultiLines("proxy_hide_header", [[name] for name in _CACHE_HEADERS]),
    )
    if has_secure_twin(settings):
        block.sections.add(Section("map $client_scheme $app", default=UPSTREAM, https=SECURE))
    return block


def session_key_map(settings: ProxySettings) -> Section:
    """Return the map that sets $session_key: the session cookie, or the client's address where there is none.

    A regular expression, because nginx's $cookie_… variables can't name the hyphen in `__Host-`.
    """
    cookie = _cookie_pattern(settings, "(?<session_cookie>[^;]+)")
    return Section("map $http_cookie $session_key", **{"default": "$remote_addr", cookie: "$session_cookie"})


def counted_session_map(settings: ProxySettings) -> Section:
    """Return the map that sets $counted_session: the beginning of the session cookie, empty where there is none.

    Not all of it: clients could fill the zone with cookies of many kilobytes.
    """
    cookie = _cookie_pattern(settings, "(?<counted_cookie>[^;]{1,128})")
    return Section("map $http_cookie $counted_session", **{"default": '""', cookie: "$counted_cookie"})


def _cookie_pattern(settings: ProxySettings, value: str) -> str:
    name = settings.session_cookie.replace(".", "\\.")
    return f'"~(?:^|;\\s*)(?:__Host-)?{name}={value}"'


def _server(settings: ProxySettings, server: UpstreamServer) -> list[str]:
    counted = [f"max_fails={settings.max_fails}", f"fail_timeout={settings.fail_timeout}s"]
    sticky = settings.balance is Balance.STICKY
    # Other policies pin no client, so draining means down.
    return _line(settings, server, *counted, state="drain" if sticky else "down")


def _spare(settings: ProxySettings, server: UpstreamServer) -> list[str]:
    return _line(settings, server, "max_fails=0", state="down")


def _line(settings: ProxySettings, server: UpstreamServer, *counted: str, state: str) -> list[str]:
    """Return the parameters of `server`; `state` is the word for a node that drains."""
    line = [server.address, *counted]
    # One name may resolve to many nodes: a common route would pin no client.
    if settings.balance is Balance.STICKY and server.name and not server.resolve:
        line.append(f"route={server.name}")
    if server.state is not ServerState.UP:
        line.append(state if server.state is ServerState.DRAIN else "down")
    if server.resolve:
        line.append("resolve")
    return line
