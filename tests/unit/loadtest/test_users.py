"""What virtual users record."""

import subprocess
import sys

SCRIPT = """
from loadtest.users import Load, SessionUser  # in a process of its own: Locust patches the standard library
from loadtest.browser import Browser
from loadtest.history import Action
from loadtest.operations import Operation

class Client:
    def request(self, *_, **__):
        raise UnicodeEncodeError("latin-1", "/x", 0, 1, "not in range")

ops = []
user = SessionUser.__new__(SessionUser)
user.load, user.account, user._password, user.who = Load({"alice": "secret"}, ops.append), "alice", "secret", "user-1"
user.browser, user.client = Browser("user-1", "session"), Client()
try:
    user.send(Operation(Action.VISIT), "user-1")
except UnicodeEncodeError:
    print([(op.action.value, op.outcome.value, op.error.partition(":")[0]) for op in ops])
"""


def test_an_operation_that_raises_is_recorded_all_the_same() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.stdout == "[('visit', 'unknown', 'UnicodeEncodeError')]\n", done.stderr
