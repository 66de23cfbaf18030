"""The beginning of a load: all users come within a second or two and log in for the first time."""

import time
from collections.abc import Callable

from loadtest.old_generator import Generator, GeneratorError

ARRIVAL = "arriving"
ARRIVAL_TIMEOUT = 60.0
POLL = 0.1


def wait_arrived(users: int, generator: Generator, look: Callable[[], None]) -> None:
    """Wait until every user has had an answer to its login, however slow the machine is, within reason.

    `look` is called again and again. Raises GeneratorError.
    """
    deadline = time.monotonic() + ARRIVAL_TIMEOUT
    while generator.progress is None or generator.progress.figures.users < users:
        if time.monotonic() > deadline:
            raise GeneratorError(f"not all of the {users} users could log in within {ARRIVAL_TIMEOUT:g} s")
        look()
        time.sleep(POLL)
