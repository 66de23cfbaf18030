"""Runs of experiments on the targets that come with the project."""

from pathlib import Path

from loadtest.described.description import read_description
from loadtest.described.fit import fit
from loadtest.described.make_runtime import make_cluster
from loadtest.described.target import DescribedTarget
from loadtest.experiments import BY_NAME
from loadtest.results import Result
from loadtest.suite import Suite, SuiteLoad

TARGETS = Path(__file__).parents[2] / "loadtest" / "targets"
LOAD = SuiteLoad(users=12, wait=(0.1, 0.3), share=0.4)


def run_on_target(file: str, experiment: str, folder: Path) -> Result:
    """Run an experiment in short form, on the target of a file such as "php/locking"."""
    description = read_description(TARGETS / f"{file}.toml")
    target = DescribedTarget(description, make_cluster(description))
    (result,) = Suite(fit([BY_NAME[experiment]], target, {}).experiments, LOAD, folder, target=target).run(
        lambda _: None
    )
    assert result.findings is not None, result.reason
    return result
