"""Faults that the tests must notice: each is one edit of the product, with the test module that has to fail then.

`python -m tests.planted_faults [NAME ...]` copies the checkout to a temporary folder, plants the faults there one after
the other, and runs the test module of each; without names it plants all of them. It exits with 1 if a fault is not
noticed, or if a module fails without a fault.

The faults are in planted_faults.toml. A change that moves the code of a fault also changes its file and snippet there:
tests/unit/test_planted_faults.py fails until each snippet occurs exactly once. The fault stays what its name says.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
TIMEOUT = 180.0
"""Seconds for one test module; a module that hangs has noticed the fault."""


@dataclass(frozen=True)
class Fault:
    """Replace the one occurrence of `old` in `file` by `new`; `module` notices it, with the tests that `-k` selects."""

    name: str
    file: str
    old: str
    new: str
    module: str
    select: str = ""

    def apply(self, root: Path) -> str:
        """Plant the fault in the tree at `root`. Return the text of the file as it was."""
        path = root / self.file
        text = path.read_text()
        if text.count(self.old) != 1:
            raise ValueError(
                f"{self.name}: {self.file} must contain the snippet once, not {text.count(self.old)} times"
            )
        path.write_text(text.replace(self.old, self.new))
        return text


FAULTS = tuple(
    Fault(name=name, **fault) for name, fault in tomllib.loads(Path(__file__).with_suffix(".toml").read_text()).items()
)


def main() -> int:
    """Plant the faults of these names, or all. Print a table; return 0 if each is noticed."""
    known = {fault.name: fault for fault in FAULTS}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    names = parser.parse_args().names
    if unknown := set(names) - set(known):
        parser.error(f"unknown fault {', '.join(sorted(unknown))}: choose from {', '.join(known)}")
    chosen = [known[name] for name in names] or list(FAULTS)
    missed = 0
    with tempfile.TemporaryDirectory(prefix="planted-faults-") as folder:
        root = Path(folder)
        _copy(root)
        for module in sorted({(fault.module, fault.select) for fault in chosen}):
            failed, shown = _run(root, *module)
            if failed:
                print(f"{module[0]} fails without a fault: {shown}")
                missed += 1
        for fault in chosen:
            begun = time.monotonic()
            text = fault.apply(root)
            failed, shown = _run(root, fault.module, fault.select)
            (root / fault.file).write_text(text)
            missed += not failed
            print(
                f"{'noticed' if failed else 'MISSED':8} {fault.name:42} {time.monotonic() - begun:4.0f} s  {shown}",
                flush=True,
            )
    print(f"{len(chosen)} faults, {missed} problems")
    return 1 if missed else 0


def _copy(root: Path) -> None:
    """Copy the files of this checkout that git tracks, as they are on disk."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, root / name)


def _run(root: Path, module: str, select: str) -> tuple[bool, str]:
    """Run a test module up to its first failure. Return whether it fails, and which test does."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider", module]
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    if select:
        command += ["-k", select]
    try:
        run = subprocess.run(
            command, cwd=root, env=environment, capture_output=True, text=True, check=False, timeout=TIMEOUT
        )
    except subprocess.TimeoutExpired:
        return True, f"{module}: not done after {TIMEOUT:g} s"
    if run.returncode not in {0, 1}:
        raise RuntimeError(f"{module} cannot be run: {run.stdout[-2000:]}{run.stderr[-2000:]}")
    failures = re.findall(r"^(?:FAILED|ERROR) (\S+)", run.stdout, re.MULTILINE)
    return run.returncode == 1, failures[0] if failures else module


if __name__ == "__main__":
    raise SystemExit(main())
