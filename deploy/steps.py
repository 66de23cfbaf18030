"""Steps of which each is taken, whether or not another one fails."""

from collections.abc import Callable, Iterable

from deploy.spec import ClusterError


def run_all(steps: Iterable[Callable[[], object]]) -> None:
    """Run each step, also after one that fails; then raise the first ClusterError."""
    errors: list[ClusterError] = []
    for step in steps:
        try:
            step()
        except ClusterError as error:
            errors.append(error)
    if errors:
        raise errors[0]
