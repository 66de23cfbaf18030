"""The access log: one JSON object per line, without secrets and of bounded length, whatever clients send.

nginx escapes quotes and control characters, but writes other bytes as they came, which need not be UTF-8. So what a
client chooses is logged up to the first byte that is not ASCII. Paths are logged up to the first character that may
begin a query, a fragment or a parameter, which may hold a password, and up to the first part that looks like an id.
"""

from nginx.config.api import Section

from proxy.upstream import BODY

_MAX_CHARACTERS = 256
_ASCII = r"[\x01-\x7e]"
_PATH = r"(?:(?!%(?:2[356]|3[BDFbdf]|(?![0-9A-Fa-f]{2})))[\x21\x22\x24\x25\x27-\x3a\x3c\x3e\x40-\x7e])"
"""A character of a path: printable, and none of ? # ; & =, whether as it is or as %XX. Nor is it a % that is encoded or
stands alone, which would be one of them when it is decoded once more."""
_ID = "[A-Za-z0-9_%+-]{20,}"
"""The shortest id in use has 128 bits, in 22 characters. Any of its characters may be sent as %XX."""
_FIELDS = {
    "time": "$msec",
    "request_id": '"$request_id"',
    "client": '"$remote_addr"',
    "host": '"$logged_host"',
    "method": '"$logged_method"',
    "uri": '"$logged_uri"',
    "status": "$status",
    "bytes": "$bytes_sent",
    "seconds": "$request_time",
    "upstream": '"$node_addr"',
    "upstream_status": '"$node_status"',
    "upstream_connect_seconds": '"$node_connect_time"',
    "upstream_seconds": '"$node_response_time"',
    "user_agent": '"$logged_user_agent"',
}
_ABOUT_NODES = ("addr", "status", "connect_time", "response_time")
_FORMAT = ",".join(f'"{name}":{value}' for name, value in _FIELDS.items())
FORMAT = ["json", "escape=json", f"'{{{_FORMAT}}}'"]
"""The parameters of `log_format`."""


def log_maps() -> list[Section]:
    """Return the maps that set the variables of the log format."""
    to_id = f"(?<uri_to_id>{_PATH}{{0,{_MAX_CHARACTERS}}}?){_ID}"
    return [
        _map("request_uri", "uri", [(to_id, "$uri_to_id***"), _start("uri", _PATH)]),
        _map("host", "host", [_start("host", _ASCII)]),
        _map("request_method", "method", [_start("method", _ASCII)]),
        _map("http_user_agent", "user_agent", [_start("user_agent", _ASCII)]),
        *map(_node_map, _ABOUT_NODES),
    ]


def _node_map(name: str) -> Section:
    """Return the map that sets $node_NAME to the variable of nginx, without its entry for BODY."""
    before = f"{BODY}[^|]*[|][^ ]*"
    return Section(
        f'map "$upstream_addr|$upstream_{name}" $node_{name}',
        **{"default": f"$upstream_{name}", f'"~^{before}(?: : (?<{name}_of_nodes>.*))?$"': f"${name}_of_nodes"},
    )


def _map(source: str, name: str, patterns: list[tuple[str, str]]) -> Section:
    rows = {f'"~^{pattern}"': f'"{value}"' for pattern, value in patterns}
    return Section(f"map ${source} $logged_{name}", default='""', **rows)


def _start(name: str, characters: str) -> tuple[str, str]:
    """Return the pattern and the value for the start of a text, as far as it has these characters."""
    return f"(?<start_of_{name}>{characters}{{0,{_MAX_CHARACTERS}}})", f"$start_of_{name}"
