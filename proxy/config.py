"""Rendering nginx.conf from settings, with nginx-config-builder.

The builder keys sections by name and silently keeps the last of two; hence `KeyValuesMultiLines` for directives that
repeat, and an `EmptyBlock` of its own around each `server`.
"""

from typing import Any

from nginx.config.api import Config, EmptyBlock, Location, Section
from nginx.config.api.options import KeyValuesMultiLines

from proxy.log import FORMAT, log_maps
from proxy.settings import Balance, ProxySettings, ProxySettingsError, Tls, Version
from proxy.upstream import (
    BODY,
    SECURE,
    SPARES,
    UPSTREAM,
    body_block,
    body_maps,
    counted_session_map,
    has_names,
    has_secure_twin,
    has_separate_spares,
    session_key_map,
    sticky_maps,
    upstreams,
)

HEALTH_PATH = "/proxy/health"
"""Answered by nginx itself, without a node."""

_INTERNAL = ("/metrics", "/ready")
"""Paths of the nodes that are for operators."""

_FIRST_WITH = {"http2": (1, 25, 1), "resolve": (1, 27, 3), "keepalive_min_timeout": (1, 27, 4), "sticky": (1, 29, 6)}

_READ, _AGAIN, _UNTRIED, _SHED, _COMPLETE = "@read", "@read_again", "@untried", "@shed", "@complete"
_LOGIN_LIMIT = "@login_limit"
_TO_READ = 420
"""A status for use inside nginx; clients never see it."""
_AT_BODY = ["502", "=", _COMPLETE]
"""What becomes of a request that BODY was asked for."""

# Headers that gunicorn, Werkzeug or a library might trust; a client must not be able to send them.
_DROPPED_HEADERS = (
    *("Forwarded", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Protocol", "X-Forwarded-Ssl"),
    *("X-Real-IP", "Proxy"),
)


def render(settings: ProxySettings) -> str:
    """Return nginx.conf. Raises ProxySettingsError for what `settings.nginx_version` does not support.

    The text must still pass `Nginx.test`: only nginx knows whether a name resolves or a folder is writable.
    """
    _check_version(settings)
    main: dict[str, Any] = {
        "worker_processes": settings.worker_processes,
        # Each connection is one descriptor; logs and listening sockets come on top.
        "worker_rlimit_nofile": settings.worker_connections * 2,
        "worker_shutdown_timeout": _time(settings.worker_shutdown_timeout),
        "pid": [_path(settings, "nginx.pid")],
        "error_log": [_error_log(settings), "warn"],
    }
    if settings.user is not None:
        main["user"] = settings.user
    events = Section("events", worker_connections=settings.worker_connections)
    return str(Config(EmptyBlock(**main), events, _http(settings))).strip() + "\n"


def _check_version(settings: ProxySettings) -> None:
    version = settings.nginx_version
    if settings.balance is Balance.STICKY and version < _FIRST_WITH["sticky"]:
        raise ProxySettingsError(_too_old(version, "balance sticky", "sticky", "choose another policy"))
    for server in settings.servers:
        if server.resolve and version < _FIRST_WITH["resolve"]:
            what = f"resolve for server {server.address}"
            raise ProxySettingsError(_too_old(version, what, "resolve", "name each node by its address"))


def _too_old(version: Version, what: str, feature: str, otherwise: str) -> str:
    have, need = (".".join(map(str, numbers)) for numbers in (version, _FIRST_WITH[feature]))
    return f"nginx {have} does not support {what}: use nginx {need} or later, or {otherwise}"


def _http(settings: ProxySettings) -> Section:
    http = Section(
        "http",
        default_type="text/plain",
        server_tokens=False,
        absolute_redirect=False,
        # Must stand before access_log.
        log_format=FORMAT,
        access_log=[_path(settings, settings.access_log), "json"],
        # nginx ends a line about a request with the whole request line and the Referer, secrets and all, and has no
        # setting for it. What became of the request is in the access log.
        error_log=[_error_log(settings), "emerg"],
    )
    for directive in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"):
        http.options[f"{directive}_temp_path"] = [_path(settings, f"{directive}_temp")]
    if settings.resolver is not None:
        http.options["resolver"] = [settings.resolver, f"valid={settings.resolver_valid}s", "ipv6=off"]
    http.sections.add(*log_maps(), _client(settings), _forwarding(settings), *upstreams(settings))
    if settings.trusted_proxies:
        http.sections.add(_trusted_proxies(settings))
    if settings.tls is not None:
        http.sections.add(_tls(settings.tls, settings.nginx_version))
    if settings.balance is Balance.STICKY:
        http.sections.add(sticky_maps(settings))
    if settings.balance is Balance.HASH:
        http.sections.add(session_key_map(settings))
    if _starts_over(settings):
        # The name of the upstream stands in this variable where no server of it was left to try.
        http.sections.add(
            Section("map $upstream_addr $untried", default="0", **{f'"~(^|[,:] )({UPSTREAM}|{SECURE})$"': "1"})
        )
    if settings.max_in_flight is not None:
        zones = [["$server_name", f"zone={_zone('in_flight', settings)}:64k"]]
        http.sections.add(body_block(), body_maps())
        if settings.max_per_session is not None:
            zones.append(["$counted_session", f"zone={_zone('by_session', settings)}:1m"])
            http.sections.add(counted_session_map(settings))
        if settings.max_per_address is not None:
            zones.append(["$binary_remote_addr", f"zone={_zone('by_address', settings)}:1m"])
        http.sections.add(KeyValuesMultiLines("limit_conn_zone", zones))
    if settings.login_rate is not None:
        # An empty key is not counted: the limit is on POST alone, the page itself is free.
        http.sections.add(Section("map $request_method $login_client", default='""', POST="$binary_remote_addr"))
        http.options["limit_req_zone"] = ["$login_client", "zone=login:1m", f"rate={settings.login_rate}r/s"]
    http.sections.add(EmptyBlock(_foreign_hosts(settings)), EmptyBlock(_server(settings)))
    return http


def _listen(settings: ProxySettings) -> list[str]:
    """Return the parameters of `listen`."""
    if settings.tls is None:
        return [settings.listen]
    # Before it became a directive, HTTP/2 was a parameter of listen.
    old = settings.nginx_version < _FIRST_WITH["http2"]
    return [settings.listen, "ssl", "http2"] if old else [settings.listen, "ssl"]


def _tls(settings: Tls, version: Version) -> EmptyBlock:
    """Return Mozilla's "intermediate" configuration (5.7) without RSA key exchange. Sessions are resumed without
    tickets, because their keys would have to be rotated."""
    block = EmptyBlock(
        ssl_certificate=f'"{settings.certificate}"',
        ssl_certificate_key=f'"{settings.key}"',
        ssl_protocols=["TLSv1.2", "TLSv1.3"],
        ssl_ciphers="ECDHE+AESGCM:ECDHE+CHACHA20",
        ssl_prefer_server_ciphers=False,
        ssl_session_cache="shared:tls:2m",
        ssl_session_timeout="1d",
        ssl_session_tickets=False,
    )
    if version >= _FIRST_WITH["http2"]:
        block.options["http2"] = True
    return block


def _client(settings: ProxySettings) -> EmptyBlock:
    client = EmptyBlock(
        client_max_body_size=settings.max_body_bytes,
        client_header_timeout=_time(settings.client_timeout),
        client_body_timeout=_time(settings.client_timeout),
        send_timeout=_time(settings.client_timeout),
        keepalive_timeout=_time(settings.client_keepalive),
        # A header line must fit into one buffer; 16 KB of it pass, name and all.
        large_client_header_buffers=["4", "20k"],
    )
    if settings.nginx_version >= _FIRST_WITH["keepalive_min_timeout"]:
        # Without it a reload closes idle connections at once, also where a client is just sending: of 937 POSTs over
        # kept connections, during 10 reloads in 2 s, 78 failed without it and none with it.
        client.options["keepalive_min_timeout"] = "2s"
    return client


def _forwarding(settings: ProxySettings) -> EmptyBlock:
    headers = {
        "Host": "$host$client_port",
        "X-Forwarded-Host": "$host$client_port",
        # Overwritten, not appended to: a client can send any value.
        "X-Forwarded-For": "$remote_addr",
        "X-Forwarded-Proto": "$client_scheme" if settings.trusted_proxies else "$scheme",
        "X-Request-ID": "$request_id",
        # Before nginx 1.29.7, where both became the default, nodes would get HTTP/1.0 without keep-alive.
        "Connection": '""',
        **dict.fromkeys(_DROPPED_HEADERS, '""'),
    }
    return EmptyBlock(
        # $host has been compared with the names that are served, $http_host has not: "GET http://known/" may bring
        # any Host. So the node gets $host, and the port alone from the client.
        Section("map $http_host $client_port", **{"default": '""', '"~(?<port>:[0-9]+)$"': "$port"}),
        EmptyBlock(
            proxy_http_version="1.1",
            proxy_connect_timeout=_time(settings.connect_timeout),
            proxy_read_timeout=_time(settings.read_timeout),
            proxy_send_timeout=_time(settings.read_timeout),
            # Never non_idempotent: a POST would run twice. Never http_503: when the store is down every node answers
            # it, and nginx would take all of them for dead.
            proxy_next_upstream=["error", "timeout"],
            proxy_next_upstream_tries=settings.tries,
            proxy_next_upstream_timeout=_time(settings.tries_timeout),
        ),
        KeyValuesMultiLines("proxy_set_header", [[name, value] for name, value in headers.items()]),
        # With `always`, also on errors: retries show as "502, 200".
        KeyValuesMultiLines("add_header", [[name, value, "always"] for name, value in _added_headers(settings)]),
    )


def _trusted_proxies(settings: ProxySettings) -> EmptyBlock:
    """Return what sets $remote_addr and $client_scheme to those of the client behind a trusted proxy."""
    trusted = settings.trusted_proxies
    block = EmptyBlock(
        KeyValuesMultiLines("set_real_ip_from", [[network] for network in trusted]),
        Section("geo $realip_remote_addr $is_trusted", default="0", **dict.fromkeys(trusted, "1")),
        real_ip_header="X-Forwarded-For",
        # A client can send the header too, so the last address that is not trusted counts.
        real_ip_recursive=True,
    )
    schemes = {"default": "$scheme", "1http": "http", "1https": "https"}
    block.sections.add(Section("map $is_trusted$http_x_forwarded_proto $client_scheme", **schemes))
    return block


def _added_headers(settings: ProxySettings) -> list[tuple[str, str]]:
    headers = []
    if settings.balance is Balance.STICKY:
        headers.append(("Cache-Control", "$cache_control"))
    if settings.expose_internals:
        headers += [("X-Upstream", "$node_addr"), ("X-Upstream-Status", "$node_status")]
    if settings.tls is not None and settings.tls.hsts_seconds:
        headers.append(("Strict-Transport-Security", f"max-age={settings.tls.hsts_seconds}"))
    return headers


def _foreign_hosts(settings: ProxySettings) -> Section:
    listen = [*_listen(settings), "default_server"]
    return Section("server", **{"listen": listen, "server_name": "_", "return": "444"})


def _server(settings: ProxySettings) -> Section:
    # What a node answers passes unchanged; these are nginx's own errors.
    errors = [["503", "=", _SHED]] if settings.max_in_flight is not None else []
    if _starts_over(settings):
        errors.append(["502", "=", _UNTRIED])
    server = Section(
        "server",
        Location(f"= {HEALTH_PATH}", **{"access_log": False, "return": ["200", "ok"]}),
        listen=_listen(settings),
        server_name=list(settings.hosts),
        # An error of a location that another error has led to has a page, too.
        recursive_error_pages=True,
    )
    first: dict[str, Any] = {"proxy_pass": _app(settings)}
    if settings.max_in_flight is not None:
        # nginx counts a request once it has its header. It turns to BODY, which has no server, when it has the body.
        first = {"proxy_pass": f"http://{BODY}"}
        server.sections.add(
            Location(
                "/",
                Section("if ($is_read_without_body)", **{"return": str(_TO_READ)}),
                _error_pages([[str(_TO_READ), "=", _READ], _AT_BODY]),
                **first,
            ),
            _by_method(settings, _COMPLETE, errors),
            _refusal(_SHED, 503, "Too many requests at present: nothing was done"),
        )
    else:
        server.sections.add(_by_method(settings, "/", errors))
    if has_names(settings):
        # As in `_starts_over`; a read may also have been begun.
        again = [["502", "=", _AGAIN], *(error for error in errors if error[0] != "502")]
        server.sections.add(_read(settings, _READ, again), _read(settings, _AGAIN, errors))
    else:
        server.sections.add(_read(settings, _READ, errors))
    if not settings.expose_internals:
        # nginx compares the decoded, normalized path, so no other spelling reaches a node.
        for path in _INTERNAL:
            server.sections.add(Location(f"= {path}", **{"return": ["404", '"Not found"']}))
    if settings.tls is not None:
        # 497: plain HTTP came to the port of TLS. 308 keeps the method and the body.
        server.options["error_page"] = ["497", "=308", "https://$host$client_port$request_uri"]
    if _starts_over(settings):
        # A node may have begun a write that failed otherwise.
        untried = Section("if ($untried = 0)", **{"return": "502"})
        upstream = f"http://{SPARES}" if has_separate_spares(settings) else _app(settings)
        server.sections.add(Location(_UNTRIED, untried, proxy_pass=upstream))
    if settings.login_rate is not None:
        limit = ["zone=login", f"burst={settings.login_burst}", "nodelay"]
        server.sections.add(
            Location(
                "= /login",
                _error_pages([["429", _LOGIN_LIMIT], *([_AT_BODY] if settings.max_in_flight is not None else errors)]),
                limit_req=limit,
                limit_req_status=429,
                **first,
            ),
            _refusal(_LOGIN_LIMIT, 429, "Too many logins"),
        )
    return server


def _by_method(settings: ProxySettings, name: str, errors: list[list[str]]) -> Location:
    """Return the location that sends reads to one of their own, since nginx has no timeout by method.

    A named location does not change the request. An `if` that holds nothing but a `return` is safe.
    """
    pages = _error_pages([[str(_TO_READ), "=", _READ], *errors])
    is_read = Section('if ($request_method ~ "^(GET|HEAD)$")', **{"return": str(_TO_READ)})
    return Location(name, is_read, pages, _bounds(settings), proxy_pass=_app(settings))


def _bounds(settings: ProxySettings) -> KeyValuesMultiLines:
    """Return the directives of a location whose requests count as in flight. Each is counted once."""
    bounds = {
        "by_session": settings.max_per_session,
        "by_address": settings.max_per_address,
        "in_flight": settings.max_in_flight,
    }
    if settings.max_in_flight is None:
        return KeyValuesMultiLines("limit_conn", [])
    counted = [[_zone(name, settings), most] for name, most in bounds.items() if most is not None]
    return KeyValuesMultiLines("limit_conn", counted)


def _zone(name: str, settings: ProxySettings) -> str:
    """Return the name of a zone that counts requests in flight. nginx keeps its counts while it has the name."""
    return f"{name}_{settings.generation}" if settings.generation else name


def _starts_over(settings: ProxySettings) -> bool:
    """Return whether a request that no node has got is sent once more, to the spares or to the present nodes.

    When a name resolves to new addresses, nginx has no second node for a request that has tried one already, and
    answers 502 at once, also where no connection was made.
    """
    return has_separate_spares(settings) or has_names(settings)


def _read(settings: ProxySettings, name: str, errors: list[list[str]]) -> Location:
    timeout = _time(min(settings.get_timeout, settings.read_timeout))
    pages = _error_pages(errors)
    return Location(name, pages, _bounds(settings), proxy_pass=_app(settings), proxy_read_timeout=timeout)


def _app(settings: ProxySettings) -> str:
    return "http://$app" if has_secure_twin(settings) else f"http://{UPSTREAM}"


def _refusal(name: str, status: int, text: str) -> Location:
    """Return the location of an answer that a client may follow by the request again, a second later."""
    headers = [["Retry-After", "1", "always"], ["Cache-Control", "no-store", "always"]]
    return Location(name, KeyValuesMultiLines("add_header", headers), **{"return": [str(status), f'"{text}"']})


def _error_pages(errors: list[list[str]]) -> KeyValuesMultiLines:
    return KeyValuesMultiLines("error_page", errors)


def _error_log(settings: ProxySettings) -> str:
    return "stderr" if settings.error_log == "stderr" else _path(settings, settings.error_log)


def _path(settings: ProxySettings, name: str) -> str:
    return f'"{settings.path(name)}"'


def _time(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"
