"""30: no room is left on the disk of SQLite, or of sessions in files."""

from deploy import StoreKind
from loadtest.claims.availability import NO_FAILED_GET, NO_FAILED_REQUEST, ONLY_SHED, WRITES_REFUSED, recovers_within
from loadtest.claims.data import NOTHING_LOST
from loadtest.experiment import AFTER, Experiment, Place, Variant, cluster
from loadtest.faults import FILL_DISK

EXPERIMENT = Experiment(
    number=30,
    name="sqlite-disk-full",
    title="disk full",
    hypothesis="A full disk refuses writes and serves reads; nothing is lost, and writes are back with the room.",
    reference="as in 17",
    during=4,
    after=4,
    variants=tuple(
        Variant(
            name=name,
            title=title,
            spec=cluster(3, store, store_disk="16m"),
            fault=FILL_DISK,
            claims=(
                *(NOTHING_LOST, NO_FAILED_GET, WRITES_REFUSED, ONLY_SHED),
                *(recovers_within(0.5), NO_FAILED_REQUEST.within(AFTER)),
            ),
            places=frozenset({Place.COMPOSE}),
        )
        for name, title, store in (("sqlite", "SQLite", StoreKind.SQL), ("file", "files", StoreKind.FILE))
    ),
)
