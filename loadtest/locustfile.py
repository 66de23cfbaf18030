"""For plain Locust: `locust -f loadtest/locustfile.py --host http://127.0.0.1:8080`, with its web page or --headless.

The rows of Locust's statistics are the requests; those that proved a loss stand apart ("/me [logged out]"), and only
HTTP failures count as failures. When Locust ends, the ledger's own summary follows.
"""

import os
import sys
from typing import Any

from locust import events
from locust.runners import MasterRunner

from loadtest.credentials import USERS_FILE_VARIABLE, CredentialsError, read_credentials
from loadtest.figures import Tally, summary
from loadtest.observation import Observation
from loadtest.old_users import Leaver, Load, Shopper, Visitor

__all__ = ["Leaver", "Shopper", "Visitor"]


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]  # Locust has no types
def add_options(parser: Any) -> None:
    """In a group of their own, whose options Locust's web page leaves out."""
    group = parser.add_argument_group("Session Cluster")
    group.add_argument(
        "--session-users-file",
        metavar="FILE",
        default=os.environ.get(USERS_FILE_VARIABLE, ""),
        help=f'JSON with {{"users": {{name: password}}}}, such as cluster.json. Default: {USERS_FILE_VARIABLE}',
    )
    group.add_argument(
        "--session-cookie",
        metavar="NAME",
        default=os.environ.get("SESSION_NAME", "session"),
        help="name of the session's cookie",
    )


@events.init.add_listener  # type: ignore[untyped-decorator]
def prepare(environment: Any, runner: Any, **_: Any) -> None:
    """Read the credentials, and print the ledger's summary when Locust ends."""
    tally = Tally("run")
    if isinstance(runner, MasterRunner):
        return  # the workers have the users, and each prints its own summary
    options = environment.parsed_options
    try:
        accounts = read_credentials(options.session_users_file).users
    except CredentialsError as error:
        sys.exit(f"Error: {error}")
    first = last = 0.0

    def record(observation: Observation) -> None:
        nonlocal first, last
        first, last = first or observation.started, max(last, observation.ended)
        tally.record(observation)

    Load(accounts, record, options.session_cookie).attach(environment)

    @environment.events.quitting.add_listener  # type: ignore[untyped-decorator]
    def say(**_: Any) -> None:
        # By the users' own clock: a worker hands Locust's statistics over to the master every three seconds.
        print(f"\n{summary(tally.figures(last - first))}\n", flush=True)
