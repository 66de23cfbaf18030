"""Snapshots of the public surface: see tests/unit/test_surface.py."""

import os
from collections.abc import Iterator
from pathlib import Path

_SNAPSHOTS = Path(__file__).parents[1] / "unit" / "surface"


def hold(part: str, lines: Iterator[str]) -> None:
    """Compare a part of the surface with its file."""
    path, text = _SNAPSHOTS / f"{part}.txt", "".join(f"{line}\n" for line in lines)
    if os.environ.get("UPDATE_SURFACE") == "1":
        path.write_text(text)
    assert text.splitlines() == path.read_text().splitlines(), f"{part} changed: see tests/unit/test_surface.py"
