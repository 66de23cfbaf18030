"""The process of the load: it is found from any folder, and a signal of the terminal does not reach it."""

import os
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest

from loadtest.capacity.testbed import Testbed, start_client


def test_the_load_starts_from_any_folder_apart_from_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setattr("sys.executable", str(_python(tmp_path)))
    with start_client() as client:
        assert client.stdout is not None
        assert client.stdin is not None
        assert os.getpgid(client.pid) == client.pid
        client.stdin.close()
        assert Path(client.stdout.readline().strip(), "loadtest").is_dir()


def test_a_load_that_is_interrupted_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", str(_python(tmp_path, "exec sleep 5")))
    bed = Testbed("redis", 300)
    bed._stack = ExitStack()
    bed._client = bed._stack.enter_context(start_client())
    bed.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert bed._client.returncode == -signal.SIGKILL


def _python(folder: Path, then: str = "exec cat") -> Path:
    """Return a script in place of Python, that says what PYTHONPATH it has."""
    script = folder / "python"
    script.write_text(f'#!/bin/sh\necho "$PYTHONPATH"\n{then}\n')
    script.chmod(0o755)
    return script
