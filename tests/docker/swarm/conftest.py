"""Several machines on this one for the tests of a module."""

from collections.abc import Iterator

import pytest

from deploy.swarm.cluster import IMAGES, build_image
from deploy.swarm.machines import Machines
from deploy.swarm.namespaces import why_no_machines
from tests.cluster.deploy.conftest import cluster
from tests.support.lacks import lacks

__all__ = ["cluster"]


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    if reason := why_no_machines():
        lacks(reason)
    with Machines([build_image(), *IMAGES]) as machines:
        yield machines
