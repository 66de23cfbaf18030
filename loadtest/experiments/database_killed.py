"""29: the only database is killed and started again."""

from deploy import Database, StoreKind
from deploy.spec import DATABASE_SERVERS
from loadtest.claims.availability import ONLY_SHED, recovers_within
from loadtest.claims.data import NOTHING_LOST
from loadtest.claims.latency import bounded, site_fast
from loadtest.experiment import Experiment, Place, Variant, cluster
from loadtest.faults import kill

PATIENT = {"STORE_CONNECT_TIMEOUT": "0.5", "STORE_READ_TIMEOUT": "2"}
"""A commit waits for the disk, and on a busy machine for more than the 0.25 s of the default."""
BUDGET = 5.0
"""Two attempts of 0.75 s while the database is down; the proxy repeats a read that takes 2 s at another node."""
RECOVERY = 3.0
"""Seconds in which all nodes connect at once: a database makes a process or thread for each connection."""

EXPERIMENT = Experiment(
    number=29,
    name="database-killed",
    title="kill the only database",
    hypothesis="Nothing acknowledged is lost, no user is logged out, and the nodes are back with the database.",
    reference="8: Redis loses its last second",
    users=12,
    during=4,
    after=4,
    variants=tuple(
        Variant(
            name=str(database),
            title=DATABASE_SERVERS[database].title,
            spec=cluster(3, StoreKind.SQL, database=database, node_settings=PATIENT),
            fault=kill("store"),
            claims=(NOTHING_LOST, ONLY_SHED, bounded(BUDGET), site_fast(0.5), recovers_within(RECOVERY)),
            places=frozenset({Place.COMPOSE}),
        )
        for database in (Database.MYSQL, Database.POSTGRES)
    ),
)
