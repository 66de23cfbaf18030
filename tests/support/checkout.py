"""A copy of this checkout with changes, as a contributor makes them."""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.support.node import ROOT

_IGNORED = shutil.ignore_patterns("__pycache__", "node_modules", "build", "*.egg-info")


def copy_checkout(
    root: Path, folders: Iterable[str], files: Mapping[str, str], added: Mapping[str, Iterable[tuple[str, str]]]
) -> Path:
    """Copy these folders to `root`; write the files, and add to others.

    `added`: for each file the beginning of the line that something is added before, and what is added.
    """
    for folder in folders:
        shutil.copytree(ROOT / folder, root / folder, ignore=_IGNORED)
    for name, text in files.items():
        (root / name).write_text(text)
    for name, additions in added.items():
        text = (ROOT / name).read_text()
        for before, more in additions:
            count = text.count(f"\n{before}")
            assert count == 1, f"{name} must have one line that begins with {before!r}, not {count}"
            text = text.replace(f"\n{before}", f"\n{more}{before}")
        (root / name).write_text(text)
    return root
