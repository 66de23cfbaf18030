"""Validate overlays without a cluster: schemas, then rules. `make check-kubernetes` runs it.

python -m deploy.kubernetes.check                     the overlays of this checkout, with secrets of its own
python -m deploy.kubernetes.check FOLDER ...          an overlay of yours, as it is
"""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from deploy.kubernetes import rules, setup, traffic
from deploy.kubernetes.manifests import ManifestError, Manifests, render

FOLDER = Path(__file__).parent
OVERLAYS = ("redis", "redis-url")
RULES = (*rules.RULES, *traffic.RULES)
_REDIS_URL = (
    "redis+sentinel://node:password@valkey-sentinel-0.valkey-sentinel-hl.valkey.svc.cluster.local:26379/mymaster"
)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("overlays", metavar="[FOLDER]...", nargs=-1, type=click.Path(path_type=Path, exists=True))
@click.option(
    "--gateway-api",
    metavar="FOLDER",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The custom resource definitions of Gateway API. Without them its objects are not validated.",
)
def check(overlays: tuple[Path, ...], gateway_api: Path | None) -> None:
    """Validate overlays: the schemas of the last four Kubernetes versions and of Gateway API, and rules of our own."""
    try:
        # Here: it needs packages that nothing else needs.
        from deploy.kubernetes.schemas import kubernetes_versions

        found = {str(each): render(each) for each in overlays} if overlays else render_all()
    except ManifestError as error:
        raise click.ClickException(str(error)) from error
    except ModuleNotFoundError as error:
        fix = "run `make check-kubernetes`, or install requirements-kubernetes.lock"
        raise click.ClickException(f"{error.name} is not installed: {fix}") from error
    if gateway_api is None:
        click.echo("Gateway API: not validated, its definitions are missing; .ci/gateway-api fetches them", err=True)
    problems = 0
    for name, objects in found.items():
        for problem in find_problems(Manifests(objects), gateway_api):
            click.echo(f"{name}: {problem}")
            problems += 1
    versions = ", ".join(kubernetes_versions())
    click.echo(f"{', '.join(found)}: Kubernetes {versions}; {problems} problems. No cluster has run them.")
    raise SystemExit(bool(problems))


def find_problems(manifests: Manifests, gateway_api: Path | None = None) -> Iterator[str]:
    """Return a line for each problem of rendered manifests."""
    from deploy.kubernetes import schemas

    invalid = [
        problem for version in schemas.kubernetes_versions() for problem in schemas.validate(manifests.objects, version)
    ]
    if gateway_api is not None:
        invalid += schemas.validate_gateway_api(manifests.objects, gateway_api)
    yield from invalid
    for rule in () if invalid else RULES:  # which rely on what schemas demand
        yield from rule(manifests)


def render_all() -> dict[str, list[dict[str, object]]]:
    """Return the objects of each overlay of this checkout, with new secrets. Raises ManifestError."""
    with tempfile.TemporaryDirectory() as folder:
        return {name: render(each) for name, each in copy_overlays(Path(folder)).items()}


def copy_overlays(folder: Path) -> dict[str, Path]:
    """Copy the manifests to a folder, with new secrets instead of those that are here. Return name -> overlay."""
    copied = folder / "kubernetes"
    shutil.copytree(FOLDER, copied, ignore=shutil.ignore_patterns("secrets", "__pycache__", "*.py"))
    overlays = {name: copied / "overlays" / name for name in OVERLAYS}
    for name, overlay in overlays.items():
        setup.make_secrets(overlay / "secrets", ["alice"], None if name == "redis" else _REDIS_URL)
    return overlays


if __name__ == "__main__":
    check(prog_name="python -m deploy.kubernetes.check")
