"""Experiments limited to one variant."""

from dataclasses import replace

from loadtest.experiment import Experiment
from loadtest.experiments import BY_NAME


def only(name: str, variant: str = "") -> Experiment:
    """Return the experiment with this variant alone."""
    experiment = BY_NAME[name]
    return replace(experiment, variants=tuple(one for one in experiment.variants if one.name == variant))
