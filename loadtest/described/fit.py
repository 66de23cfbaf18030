"""The experiments that fit a target: derived from what their faults, their loads and their claims need."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from loadtest.claims.claim import Claim
from loadtest.described.runtime import DescribedCluster
from loadtest.described.schema import NAMES
from loadtest.experiment import Experiment, Phase, Place, Variant
from loadtest.faults import Fault, Need
from loadtest.history import Action
from loadtest.load_profile import Mix
from loadtest.target import Target

_WRITES = frozenset({Action.VISIT, Action.ADD})
_OF_MIX: Mapping[Mix, tuple[Action, ...]] = {
    Mix.LOGOUT_RACE: (Action.LOGOUT,),
    Mix.TABS: (Action.LIST, Action.PASSWORD),
}
_WRITING = frozenset({Mix.SHARED_WRITERS, Mix.LOGOUT_RACE, Mix.TABS})


class DoesNotFit(Exception):
    """A target can't do what an experiment needs; the message is one line with the reason."""


@dataclass(frozen=True)
class Fit:
    """What can run on a target, and why the other experiments or variants can't: "scale" -> "the runtime …"."""

    experiments: tuple[Experiment, ...]
    refused: Mapping[str, str]


def fit(experiments: Iterable[Experiment], target: Target, variants: Mapping[str, Collection[str]]) -> Fit:
    """Return the experiments as they run on a target. `variants` are those that are wanted; none: all of them.

    Of an experiment that runs, the reasons are those of variants that don't.
    """
    fitting: list[Experiment] = []
    refused: dict[str, str] = {}
    for experiment in experiments:
        wanted = variants.get(experiment.name, ())
        chosen: list[Variant] = []
        reasons: dict[str, str] = {}
        for variant in experiment.variants:
            if wanted and variant.name not in wanted:
                continue
            try:
                chosen.append(fit_variant(experiment, variant, target))
            except DoesNotFit as error:
                reasons[variant.name] = str(error)
        if chosen:
            fitting.append(replace(experiment, variants=_merge(experiment, chosen)))
        if wanted or chosen:
            left = {name: why for name, why in reasons.items() if not _is_store(experiment, name)}
            refused |= {f"{experiment.name}.{name}": why for name, why in (reasons if wanted else left).items()}
        else:
            refused[experiment.name] = next(iter(reasons.values()))
    return Fit(tuple(fitting), refused)


def fit_variant(experiment: Experiment, variant: Variant, target: Target) -> Variant:
    """Return a variant with faults that the target can do. Raises DoesNotFit."""
    for claim in variant.claims:
        if claim.premise:
            raise DoesNotFit(f"it is about clusters where {claim.premise}, and no file says so")
    if why := _refuse_mix(experiment.mix, target.adapter.actions):
        raise DoesNotFit(why)
    fault = _choose_fault(variant.fault, target)
    phases = tuple(replace(phase, fault=_choose_fault(phase.fault, target)) for phase in variant.phases)
    reasons = [claim.find_missing(target.lacks) for claim in (*variant.claims, *_claims_of(phases))]
    if reasons and all(reasons):
        raise DoesNotFit(f"none of its claims could be looked for: {reasons[0]}")
    return replace(variant, fault=fault, phases=phases, places=frozenset({Place.TARGET}))


def refuse_need(need: Need, target: Target) -> str:
    """Return why a target can't do something, in one line; empty if it can."""
    if target.cluster is None:
        return "the file has no runtime"
    return target.cluster.refuse(need) if isinstance(target.cluster, DescribedCluster) else ""


def _choose_fault(fault: Fault, target: Target) -> Fault:
    """Return the fault, or the first one in its place that the target can do. Raises DoesNotFit."""
    reasons = []
    for one in (fault, *fault.instead):
        why = next(filter(None, (refuse_need(need, target) for need in one.needs)), "")
        if not why:
            return one
        reasons.append(why)
    raise DoesNotFit("; ".join(dict.fromkeys(reasons)))


def _refuse_mix(mix: Mix, actions: frozenset[Action]) -> str:
    for action in _OF_MIX.get(mix, ()):
        if action not in actions:
            return f"the file has no request {NAMES[action]}"
    return "the file has no request count or add" if mix in _WRITING and not actions & _WRITES else ""


def _claims_of(phases: Sequence[Phase]) -> list[Claim]:
    return [claim for phase in phases for claim in phase.claims]


def _merge(experiment: Experiment, variants: Sequence[Variant]) -> tuple[Variant, ...]:
    """Return the variants without those that differ from another in their cluster alone: a target is one cluster.

    Of such variants one is left, without a name: one with a fault, if the target can do it.
    """
    alike: dict[tuple[str, ...], list[Variant]] = {}
    for variant in variants:
        name = "" if _is_store(experiment, variant.name) else variant.name
        alike.setdefault((name, *(claim.text for claim in variant.claims)), []).append(variant)
    merged = []
    for (name, *_), ones in alike.items():
        best = max(ones, key=lambda one: one.fault.seconds > 0)
        merged.append(best if name else replace(best, name="", title=""))
    return tuple(merged)


def _is_store(experiment: Experiment, name: str) -> bool:
    """Return whether a variant stands for a kind of store."""
    variant = next(one for one in experiment.variants if one.name == name)
    server = variant.spec.database_server
    return variant.title in {"", str(variant.spec.store), str(variant.spec.database), server.title if server else ""}
