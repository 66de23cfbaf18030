"""20: new secrets, and another format of the records, by rolling deployments.

The formats are plain records and encrypted ones. In steps, first every node reads both, then they begin to write the
new one: in between some nodes write plain values and some encrypted ones, side by side in one record, and sign cookies
by the old secret and by the new one. At once, without the first step, nodes that cannot read the new format serve
beside nodes that write it, and must not treat an unreadable record as absent.

The second pair of formats is that of 01db56e, the last version before 0.2, and of the present code: its nodes are
replaced by the present ones, with a pause between two, so that both serve the same sessions for a while.
"""

import secrets

from deploy import StoreKind
from deploy.local.revision import EARLIER
from loadtest.claims.availability import NO_FAILED_REQUEST, WRITES_REFUSED
from loadtest.claims.data import NOTHING_LOST
from loadtest.experiment import Experiment, Place, Variant, cluster
from loadtest.faults import rolling_deploy

OLD, NEW, KEY = (secrets.token_hex(32) for _ in range(3))


def _settings(*signing: str, encryption: str = "") -> dict[str, str]:
    """Return settings of the nodes: the first secret signs, all verify. They replace the cluster's own secrets file."""
    return {
        "SESSION_SECRETS_FILE": "",
        "SESSION_SECRETS": ",".join(signing),
        "SESSION_ENCRYPTION_KEYS": KEY if encryption else "",
        "SESSION_ENCRYPTION": encryption,
    }


STORES = (StoreKind.REDIS, StoreKind.FILE, StoreKind.SQL)
"""The stores whose records 01db56e wrote. In local processes alone, since the image has the present code."""


def _upgrade(store: StoreKind) -> Variant:
    return Variant(
        name=f"upgrade-{store}",
        title=f"from {EARLIER} to the present code, {store}",
        hypothesis=f"Nodes of {EARLIER} and of the present serve the same sessions side by side: no user is logged out"
        " and no request fails.",
        reference="0 lost, 0 failed",
        spec=cluster(3, store, revision=EARLIER),
        fault=rolling_deploy(3, {}, pause=2.0),
        claims=(NOTHING_LOST, NO_FAILED_REQUEST),
        places=frozenset({Place.LOCAL}),
    )


EXPERIMENT = Experiment(
    number=20,
    name="rolling-deploy",
    title="nodes with two record formats",
    hypothesis="Deployed node by node, first the code that reads both formats and then the code that writes the new"
    " one, no user is logged out and no request fails. Without the first step requests fail, and still no logout.",
    during=1,
    variants=(
        Variant(
            name="in-steps",
            title="secret rotation, in steps",
            hypothesis="Deployed node by node, first the code that reads both formats and then the code that writes the"
            " new one, no user is logged out and no request fails.",
            reference="0 lost, 0 failed",
            spec=cluster(3, StoreKind.REDIS, node_settings=_settings(OLD)),
            fault=rolling_deploy(3, _settings(OLD, NEW, encryption="read"), _settings(NEW, OLD, encryption="write")),
            claims=(NOTHING_LOST, NO_FAILED_REQUEST),
        ),
        Variant(
            name="at-once",
            title="at once",
            hypothesis="Without the step that reads both formats, requests fail, and still no user is logged out.",
            reference="0 lost",
            spec=cluster(3, StoreKind.REDIS, node_settings=_settings(OLD)),
            # With a pause, since the two kinds of nodes have to meet.
            fault=rolling_deploy(3, _settings(OLD, encryption="write"), pause=2.0),
            claims=(NOTHING_LOST, WRITES_REFUSED),
        ),
        *map(_upgrade, STORES),
    ),
)
