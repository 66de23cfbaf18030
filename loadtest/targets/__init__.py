"""Applications of other people's making that answer what our nodes answer: for sharing sessions, and for comparison.

Each is written as the documentation of its session library has it, with that library's defaults. They compare
passwords in plain text, where our nodes compute an Argon2 hash: compare what requests cost, not logins.

`local_cluster` makes a cluster whose nodes are those of its spec, whoever's they are.
"""

from loadtest.targets.install import PeerError
from loadtest.targets.reference import application_of, local_cluster

__all__ = ["PeerError", "application_of", "local_cluster"]
