"""One cluster for all tests of this folder."""

from collections.abc import Iterator

import pytest

from tests.cluster.security.cluster import Cluster, running


@pytest.fixture(scope="package")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running(tmp_path_factory.mktemp("cluster")) as made:
        yield made
