"""The first example of the README and of the page of each store: it runs as it is printed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.node import ROOT
from tests.support.readme import blocks
from tests.support.valkey import Valkey

COUNT = """
from nodes.sessions import current_session

@app.post("/again")
def again():
    return {"visits": current_session.mutate("visits", lambda n: n + 1, default=0)}

client = app.test_client()
print([client.post("/again").json["visits"] for _ in range(3)])
"""


@pytest.mark.parametrize("page", ["README.md", "docs/redis.md", "docs/sql.md", "docs/express.md"])
def test_the_first_example_of_a_page_makes_an_application_with_sessions(
    server: Valkey, tmp_path: Path, page: str
) -> None:
    example = next(block for block in blocks(page) if "Sessions(app" in block)
    script = (
        f"from nodes.sessions import current_session\n{example.replace('redis://127.0.0.1:6379/0', server.url)}{COUNT}"
    )
    environ = {**os.environ, "APP_SECRET": "x" * 32, "PYTHONPATH": str(ROOT)}
    arguments = [sys.executable, "-c", script]
    run = subprocess.run(arguments, env=environ, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert run.stdout == "[1, 2, 3]\n"


def test_the_page_of_the_library_begins_with_the_example_of_the_readme() -> None:
    (example,) = [block for block in blocks("README.md") if "Sessions(app" in block]
    assert example in blocks("docs/sessions.md")
