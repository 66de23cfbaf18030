"""27: a store that answers badly."""

from deploy import StoreKind
from loadtest.claims.availability import ONLY_SHED, recovers_within
from loadtest.claims.data import NOTHING_LOST
from loadtest.claims.latency import bounded, site_fast
from loadtest.experiment import Experiment, Variant, cluster
from loadtest.faults import bad_answers

# As in experiment 12.
BUDGET = 2.5
WAYS = {
    "drip": "a byte each 0.15 s",
    "twice": "each answer twice",
    "crossed": "answers to other connections",
    "errors": "errors instead of answers",
    "any": "each answer in another way",
}

EXPERIMENT = Experiment(
    number=27,
    name="bad-answers",
    title="Redis answers badly",
    hypothesis="Answers that are slow, repeated, mixed up, broken or far too long cost a 503, and nothing else.",
    reference="before: a read took 14 s, and one was answered as another user's",
    during=5,
    variants=tuple(
        Variant(
            name=answers,
            title=title,
            spec=cluster(3, StoreKind.REDIS, store_proxy=True),
            fault=bad_answers(answers),
            claims=(bounded(BUDGET), site_fast(0.5), NOTHING_LOST, ONLY_SHED, recovers_within(0.5)),
        )
        for answers, title in WAYS.items()
    ),
)
