"""The contract of every store, on memory: plain, encrypted, and while encryption is turned on or off."""

from tests.integration.sessions.test_store_contract import *  # noqa: F403
from tests.support.harnesses import store_names

STORES = (
    "memory",
    "encrypted",
    "encrypting",
)
store_name = store_names(*STORES)
