"""20: the secrets of the cookies and the keys of the records are rotated by rolling deployments.

While the second of them is under way, some nodes write records in the new encryption and some in the old one, and sign
cookies by the new secret and by the old one: all of them must read both.
"""

import secrets

from deploy import StoreKind
from loadtest.failover.claims import NO_FAILED_REQUEST, NOTHING_LOST
from loadtest.failover.experiment import Experiment, Variant, cluster
from loadtest.failover.faults import RollingDeploy

OLD, NEW = ({"secret": secrets.token_hex(32), "key": secrets.token_hex(32)} for _ in range(2))


def _settings(*which: dict[str, str]) -> dict[str, str]:
    """The first signs and encrypts, all verify and decrypt. Without the file that the cluster makes by itself."""
    return {
        "SESSION_SECRETS_FILE": "",
        "SESSION_SECRETS": ",".join(each["secret"] for each in which),
        "SESSION_ENCRYPTION_KEYS": ",".join(each["key"] for each in which),
    }


EXPERIMENT = Experiment(
    number=20,
    name="rolling-deploy",
    title="secret rotation, two record formats",
    hypothesis="Deployed node by node, first what reads both and then what writes the new, nobody is logged out.",
    reference="0 lost, 0 failed",
    during=1,
    variants=(
        Variant(
            spec=cluster(3, StoreKind.REDIS, node_settings=_settings(OLD)),
            fault=RollingDeploy(3, (_settings(OLD, NEW), _settings(NEW, OLD))),
            claims=(NOTHING_LOST, NO_FAILED_REQUEST),
        ),
    ),
)
