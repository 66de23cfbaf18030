"""The part of nginx.conf that is about TLS."""

from __future__ import annotations

from nginx.config.api import EmptyBlock

from proxy.settings import ProxySettings, Tls, Version

_HTTP2_DIRECTIVE = (1, 25, 1)


def listening(settings: ProxySettings) -> list[str]:
    """What stands behind `listen`."""
    if settings.tls is None:
        return [settings.listen]
    # Before it became a directive, HTTP/2 was a parameter of listen.
    old = settings.nginx_version < _HTTP2_DIRECTIVE
    return [settings.listen, "ssl", "http2"] if old else [settings.listen, "ssl"]


def tls(settings: Tls, version: Version) -> EmptyBlock:
    """Mozilla's "intermediate" configuration (5.7), without RSA key exchange; sessions are resumed without tickets,
    whose keys would have to be rotated."""
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
    if version >= _HTTP2_DIRECTIVE:
        block.options["http2"] = True
    return block
