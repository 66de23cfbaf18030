"""The library's ten lines in the README."""

import os
import subprocess
import sys

from tests.support.node import ROOT
from tests.support.readme import blocks
from tests.support.valkey import Valkey


def test_the_example_of_the_readme_counts_visits(server: Valkey) -> None:
    (example,) = [block for block in blocks("README.md") if "Sessions(app" in block]
    code = example.replace("redis://127.0.0.1:6379/0", server.url)
    script = f"{code}\nclient = app.test_client()\nprint([client.post('/visits').json['visits'] for _ in range(3)])"
    environ = {**os.environ, "SESSION_SECRET": "x" * 32, "PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=True)
    assert run.stdout == "[1, 2, 3]\n"
    assert example in blocks("docs/sessions.md")
