"""Clusters of containers are held to the tests of local processes."""

from tests.cluster.deploy.conftest import cluster

__all__ = ["cluster"]
