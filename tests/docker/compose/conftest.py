"""One project for all tests of compose.yaml: each module starts what it needs, on the volumes of the one before."""

from collections.abc import Iterator

import pytest

from tests.docker.compose.project import Compose


@pytest.fixture(scope="session")
def project() -> Iterator[Compose]:
    compose = Compose()
    try:
        for image in ("image", "load-image", "express"):
            compose("build", image)
        yield compose
    finally:
        compose.down("--volumes", "--rmi", "local")


@pytest.fixture(scope="module")
def compose(project: Compose) -> Iterator[Compose]:
    """Yield the project; before and after the module nothing runs."""
    yield project
    project.down()
