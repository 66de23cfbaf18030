"""Applications of other people's making that answer what our nodes answer: for sharing sessions, and for comparison.

`local_cluster` makes a cluster whose nodes are those of its spec, whoever's they are.
"""

from loadtest.peers.applications import application_of, local_cluster
from loadtest.peers.install import PeerError

__all__ = ["PeerError", "application_of", "local_cluster"]
