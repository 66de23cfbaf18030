"""Load on a cluster, by users that remember what they did: Locust users, their ledger, and the demo's scenes.

Nothing that is imported from here brings Locust or gevent along: those patch the whole process, so they live in a
process of their own (`loadtest.generate`, with `fleet`, `latency` and `locust_setup`, which only it imports) or in one
that a person starts with `locust -f loadtest/locustfile.py`.
"""

from loadtest.figures import Figures, Tally
from loadtest.ledger import Action, Answer, Expected, Finding, Judgement, Login, Operation, Outcome, judge
from loadtest.observation import Observation
from loadtest.old_generator import Generator, GeneratorError

__all__ = [
    "Action",
    "Answer",
    "Expected",
    "Figures",
    "Finding",
    "Generator",
    "GeneratorError",
    "Judgement",
    "Login",
    "Observation",
    "Operation",
    "Outcome",
    "Tally",
    "judge",
]
