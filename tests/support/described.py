"""Files of targets for tests: a small JSON interface, and the runtime that a test asks for."""

from pathlib import Path

from loadtest.described.description import TargetDescription, read_description

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
