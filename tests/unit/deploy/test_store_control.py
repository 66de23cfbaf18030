"""A store refuses what it does not support, with the reason."""

from collections.abc import Callable

import pytest

from deploy import ClusterError, StoreKind
from deploy.store_control import BaseStoreControl


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        (lambda store: store.url, "the store has no single address: it is memory"),
        (lambda store: store.proxy, "no proxy to its store: set store_proxy"),
        (lambda store: store.proxy_of("store-1"), "store-1 has no proxy of its own: set store_proxy"),
        (BaseStoreControl.primary, "sessions are in memory: the store has no primary"),
        (BaseStoreControl.failover, "no replica that could take over: it is memory"),
        (BaseStoreControl.disconnect_replicas, "no replicas that could be disconnected: it is memory"),
        (BaseStoreControl.reconnect_replicas, "no replicas that could be disconnected: it is memory"),
        (BaseStoreControl.fill_disk, "no disk of their own: set store_disk"),
        (BaseStoreControl.free_disk, "no disk of their own: set store_disk"),
        (BaseStoreControl.statistics, "sessions are in memory: no statistics"),
    ],
)
def test_an_unsupported_operation_is_refused_with_the_reason(
    operation: Callable[[BaseStoreControl], object], message: str
) -> None:
    with pytest.raises(ClusterError, match=message):
        operation(BaseStoreControl(StoreKind.MEMORY))
