"""Late requests, on memory: plain, encrypted, and while encryption is turned on or off."""

from tests.integration.sessions.test_late_requests import *  # noqa: F403
from tests.support.harnesses import store_names

store_name = store_names("memory", "encrypted", "encrypting")
