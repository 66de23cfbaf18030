"""What a load is to Locust: its users, how they are mixed, and what they trust. Brings Locust along."""

import ssl
from functools import cache
from typing import Any

from locust import between
from locust.env import Environment

from loadtest.old_users import Leaver, SessionUser, Shopper, Visitor
from loadtest.protocol import Mix, Start
from loadtest.tabs import LogoutRacer, SharedWriter

STOP_TIMEOUT = 5.0  # requests in flight may end, so that the last figures are no artefact of stopping
USERS: dict[Mix, list[Any]] = {
    Mix.EVERYDAY: [Visitor, Shopper, Leaver],
    Mix.SHARED_WRITERS: [SharedWriter],
    Mix.LOGOUT_RACE: [LogoutRacer],
}


def environment_of(start: Start) -> Any:
    """Locust's environment for a load, without anything that runs yet."""
    SessionUser.wait_time = between(*start.wait)
    SessionUser.insecure = start.insecure
    if start.authority is not None:
        SessionUser.ssl_context_factory = staticmethod(
            cache(lambda: ssl.create_default_context(cafile=start.authority))
        )
    users = USERS[start.mix]
    if start.weights:
        for user in users:
            user.weight = start.weights.get(user.__name__, 0)
    return Environment(user_classes=list(users), host=start.url, stop_timeout=STOP_TIMEOUT)


def serve_page(environment: Any, port: int) -> None:
    """Locust's own page on 127.0.0.1, for as long as this process lives."""
    environment.create_web_ui("127.0.0.1", port)
