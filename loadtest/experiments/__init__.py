"""The experiments, one file each, found automatically: each module exports EXPERIMENT."""

import importlib
import pkgutil
from collections.abc import Mapping

from loadtest.experiment import Experiment

EXPERIMENTS: tuple[Experiment, ...] = tuple(
    sorted(
        (importlib.import_module(f"{__name__}.{module.name}").EXPERIMENT for module in pkgutil.iter_modules(__path__)),
        key=lambda experiment: experiment.number,
    )
)

BY_NAME: Mapping[str, Experiment] = {experiment.name: experiment for experiment in EXPERIMENTS}
