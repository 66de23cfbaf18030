"""24: the network cuts the primary off for a while: from everything, or from the Sentinels alone."""

from functools import partial

from deploy.redis import acl
from loadtest.experiment import Experiment, Place
from loadtest.experiments.primary_returns import absences
from loadtest.faults import cut_off_primary

EXPERIMENT = Experiment(
    number=24,
    name="primary-cut-off",
    title="the primary is cut off and returns",
    hypothesis="No write that was acknowledged or read is lost, whatever the network cuts the primary off from; where"
    " nodes wait for it, no request fails.",
    reference="see 23",
    during=5,
    variants=tuple(
        variant
        for name, title, user in (
            ("all-", "from everything, ", ""),
            ("sentinels-", "from the Sentinels, ", acl.SENTINEL),
        )
        for variant in absences(name, title, partial(cut_off_primary, user=user), True, frozenset({Place.LOCAL}))
    ),
)
