"""docs/testing.md: its blocks are an application and tests of it, which pass as they are printed."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support.node import ROOT
from tests.support.readme import blocks


def test_the_tests_of_the_page_pass(tmp_path: Path) -> None:
    shop, found, tests = "\n\n".join(blocks("docs/testing.md")).partition("import flask\n")
    (tmp_path / "shop.py").write_text(shop)
    (tmp_path / "test_shop.py").write_text(found + tests)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    environ = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert f"{tests.count('def test_')} passed" in done.stdout, done.stdout
