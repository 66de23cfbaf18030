"""The adapter for the HTTP interface of docs/http-api.md: that of our nodes and of the reference implementations."""

from functools import cache
from pathlib import Path

import msgspec

from loadtest.described.adapter import DescribedAdapter
from loadtest.described.description import read_description

SHOP = Path(__file__).parents[1] / "targets" / "shop" / "target.toml"
"""The file that describes its requests. Whatever else it says is of one cluster alone."""


@cache
def http_interface() -> DescribedAdapter:
    """Return the adapter for the interface at any address. Its requests name no origin, so that a proxy may change
    host and scheme."""
    return msgspec.structs.replace(DescribedAdapter.from_file(read_description(SHOP).file), url="")
