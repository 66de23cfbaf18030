"""The images of machines on this one: from this machine's engine, or from the disk of another one of them."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from deploy.compose.docker import Engine
from deploy.spec import ClusterError

_SECONDS_TO_LOAD = 240.0
_DRIVER = "overlay2"


def load_images(engine: Engine, images: Sequence[str]) -> None:
    """Copy images of this machine's engine to that of a machine. Raises ClusterError."""
    script = 'target=$1; shift; docker save "$@" | docker --host "$target" load --quiet'
    Engine().run(["sh", "-euc", script, "sh", engine.host, *images], _SECONDS_TO_LOAD)


def copy_images(source: Path, target: Path) -> bool:
    """Copy the images of one data-root to another, whose engine does not run yet, by hard links: an engine never
    changes a layer. Raises ClusterError.

    Returns False, and copies nothing, where the images are not in the folders of overlay2. Docker 29 has them in
    containerd's store by default, in a database that its engine keeps open.
    """
    parts = [source / "image", source / _DRIVER]
    if not all(each.is_dir() for each in (source / "image" / _DRIVER, *parts)):
        return False
    target.mkdir(mode=0o710, parents=True)
    for part in parts:
        words = ["cp", "--archive", "--link", str(part), str(target)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ClusterError(f"cannot copy the images to {target}: {done.stderr.strip().splitlines()[-1]}")
    return True
