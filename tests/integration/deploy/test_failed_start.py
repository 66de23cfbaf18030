"""A local cluster that cannot start gives the reason, and leaves no process and no secret."""

from pathlib import Path

import psutil
import pytest

from deploy import ClusterError, ClusterSpec, LocalCluster, StoreKind, StoreSettings

BROKEN = """#!/bin/sh
[ "$1" = --version ] && exec echo "Valkey server v=9.0.0"
echo out of luck
exit 3
"""


@pytest.mark.parametrize(
    ("spec", "is_broken", "message"),
    [
        (ClusterSpec(nodes=1, store=StoreKind.REDIS), True, "store ended as it started: out of luck"),
        (
            ClusterSpec(nodes=1, store=StoreKind.REDIS, store_settings=StoreSettings(max_memory="a lot")),
            False,
            "store ended as it started: ",
        ),
        (ClusterSpec(nodes=1, proxy={"hosts": ("not a name",)}), False, "host must be "),
    ],
    ids=["broken program", "refused option", "refused by the proxy"],
)
def test_a_failed_start_gives_the_reason_and_leaves_nothing(
    tmp_path: Path, spec: ClusterSpec, is_broken: bool, message: str
) -> None:
    program, state = tmp_path / "valkey", tmp_path / "state"
    program.write_text(BROKEN)
    program.chmod(0o755)
    cluster = LocalCluster(spec, state, store_server=program if is_broken else None)
    before = set(psutil.Process().children(recursive=True))
    with pytest.raises(ClusterError) as refused:
        cluster.start()
    assert str(refused.value).startswith(message)
    assert str(refused.value).endswith(f" (logs: {state / 'logs'})")
    assert set(psutil.Process().children(recursive=True)) <= before
    assert not (state / "secrets").exists()
    with pytest.raises(ClusterError, match="start it first"):
        cluster.members()
