"""Clusters in containers, for the tests of clusters of local processes."""

from tests.cluster.deploy.conftest import cluster

__all__ = ["cluster"]
