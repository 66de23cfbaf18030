"""Schemas: of the last four versions of Kubernetes, and of Gateway API. A kind without a schema is an error."""

import json
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

from deploy.kubernetes.manifests import Object, name_of

_VERSIONS = 4
GATEWAY_API = "gateway.networking.k8s.io/"


@cache
def kubernetes_versions() -> list[str]:
    """Return the last four versions of Kubernetes, as "1.37": the newest that there are schemas of, and three more."""
    newest = max(int(version.split(".")[1]) for version in kubernetes_validate.utils.all_versions())
    return [f"1.{minor}" for minor in range(newest - _VERSIONS + 1, newest + 1)]


def validate(objects: Iterable[Object], version: str) -> Iterator[str]:
    """Return a line for each object that is not valid in this version of Kubernetes. Gateway API is not part of it."""
    for each in objects:
        if str(each.get("apiVersion", "")).startswith(GATEWAY_API):
            continue
        for problem in _validate(json.dumps(each), version):
            yield f"{each.get('kind')} {name_of(each)} in Kubernetes {version}: {problem}"


@cache  # overlays have most of their objects in common, and the library reads the schemas again for each
def _validate(text: str, version: str) -> tuple[str, ...]:
    try:
        used = kubernetes_validate.validate(json.loads(text), version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return (f"{_path(error)}{error.message}",)
    except kubernetes_validate.SchemaNotFoundError as error:
        return (str(error.message),)
    # The library takes the schemas of an earlier version where it has none.
    return () if used == version else (f"there are schemas of {used} only",)


def validate_gateway_api(objects: Iterable[Object], folder: Path) -> Iterator[str]:
    """Return a line for each object of Gateway API that its definition in this folder does not allow."""
    definitions = [
        yaml.load(path.read_text(), Loader=_LOADER)  # noqa: S506 - a safe one
        for path in folder.glob("*.yaml")
    ]
    for each in objects:
        api = str(each.get("apiVersion", ""))
        if not api.startswith(GATEWAY_API):
            continue
        where = f"{each['kind']} {name_of(each)} in {api}"
        schema = _find_schema(definitions, each["kind"], api.partition("/")[2])
        if schema is None:
            yield f"{where}: it has no schema"
            continue
        # These belong to every object, and their definition leaves them out.
        described = {name: value for name, value in each.items() if name not in {"apiVersion", "kind", "metadata"}}
        for error in jsonschema.Draft202012Validator(_close(schema)).iter_errors(described):
            yield f"{where}: {_path(error)}{error.message}"


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # 400 KB: ten times as fast as the one in Python


def _find_schema(definitions: list[Object], kind: str, version: str) -> Object | None:
    for definition in definitions:
        if definition["spec"]["names"]["kind"] == kind:
            for each in definition["spec"]["versions"]:
                if each["name"] == version and each["served"]:
                    schema: Object = each["schema"]["openAPIV3Schema"]
                    return schema
    return None


def _close(schema: Any) -> Any:
    """Return the schema without room for unknown fields, as the server treats it: it would drop them silently."""
    if isinstance(schema, list):
        return [_close(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _close(value) for name, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        closed.setdefault("additionalProperties", False)
    return closed


def _path(error: Any) -> str:
    path = ".".join(str(part) for part in error.path)
    return f"{path}: " if path else ""
