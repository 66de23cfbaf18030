"""A program that breaks a target and holds on, to be killed.

`python -m tests.support.broken_target FILE "kill node-1"` prints the target's state folder when all is
done, and ends the target at the end of its input.
"""

import sys
from pathlib import Path

from loadtest.described import runtime
from loadtest.described.description import read_description
from loadtest.described.make_runtime import make_cluster

BROKEN_TARGET = (sys.executable, "-m", "tests.support.broken_target")


def main(file: str, *steps: str) -> None:
    """Carry out steps such as "pause store" and "scale 3"."""
    cluster = make_cluster(read_description(Path(file)))
    assert cluster is not None
    with cluster:
        for step in steps:
            do, _, on = step.partition(" ")
            getattr(cluster, do)(int(on) if on.isdigit() else on)
        print(cluster.state_folder, flush=True)
        sys.stdin.read(1)


if __name__ == "__main__":
    vars(runtime)["answers"] = lambda *_: True  # its site need not answer
    main(*sys.argv[1:])
