"""`session-cluster load`: load of one's own on any cluster, and what its users lost."""
