"""Keys of a target's file that would do nothing, where its author expects that they do something."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from loadtest.described.schema import RequestSpec, Runtime, RuntimeKind, TargetFile, sends_token
from loadtest.described.toml import Place

_OF_SESSION = {"counter": "counter", "items": "list"}
_OF_ANSWERS = ("user", "logged_in", *_OF_SESSION)


def find_unused_keys(file: TargetFile, values: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    """Yield each with the reason. `values` are those that the text of the file has: defaults are not mistakes."""
    if not file.url.startswith("https:"):
        for key in ("authority", "insecure"):
            if values.get(key):
                yield (key,), f"{key} does nothing: url begins with http://"
    users = values["users"]
    if "passwords" in users:
        for key in ("count", "name", "password"):
            if key in users:
                yield ("users", key), f"users.{key} does nothing beside passwords: give either"
    readings: dict[Place, Mapping[str, Any]] = {("requests", name): spec for name, spec in values["requests"].items()}
    if "sign_up" in users:
        readings["users", "sign_up"] = users["sign_up"]
    for place, given in readings.items():
        for key in _OF_ANSWERS:
            if key in given and key in _OF_SESSION and place[-1] in ("account", "sessions"):
                what = f"{'.'.join(map(str, place))}.{key} must be left out"
                yield (*place, key), f"{what}: look and read show the session's {_OF_SESSION[key]}"
            elif key in given:
                yield from _find_of_reading((*place, key), given[key])
    specs: list[tuple[Place, RequestSpec]] = [(("requests", name), spec) for name, spec in file.requests.named()]
    if file.users.sign_up is not None:
        specs.append((("users", "sign_up"), file.users.sign_up))
    sending = [place for place, spec in specs if sends_token(spec, file.headers)]
    for place, spec in specs:
        if spec.page is not None and place not in sending:
            yield (*place, "page"), f"{'.'.join(map(str, place))}.page does nothing: the request sends no {{csrf}}"
    if file.csrf is not None:
        yield from _find_of_csrf(values["csrf"])
        if not sending:
            yield ("csrf",), "csrf does nothing: no request sends {csrf}"
    if file.runtime is not None:
        yield from _find_foreign_keys(file.runtime)
        for role, names in values["runtime"].get("roles", {}).items():
            if not names:
                yield ("runtime", "roles", role), f"runtime.roles.{role} must name a member, or be left out"


def _find_of_reading(place: Place, reading: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    for key, needed in (("attribute", "css"), ("item", "json"), ("quantity", "json")):
        if key in reading and needed not in reading:
            yield (*place, key), f"{'.'.join(map(str, place))}.{key} does nothing without {needed}"


def _find_of_csrf(csrf: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    place: Place = ("csrf",)
    if "cookie" in csrf:
        for key in ("css", "attribute", "json", "header"):
            if key in csrf:
                yield (*place, key), f"csrf.{key} does nothing beside cookie: give either"
    else:
        yield from _find_of_reading(place, csrf)


def _find_foreign_keys(runtime: Runtime) -> Iterator[tuple[Place, str]]:
    """Yield keys that another kind of runtime has: they would do nothing."""
    of_kind: list[tuple[str, RuntimeKind, Any]] = [
        *((key, RuntimeKind.COMPOSE, getattr(runtime, key)) for key in ("file", "project")),
        *((f"actions.{key}", RuntimeKind.COMMANDS, value) for key, value in _given(runtime.actions)),
    ]
    for name, member in runtime.members.items():
        keys = [(key, value) for key, value in _given(member) if key != "ready"]
        of_kind += ((f"members.{name}.{key}", RuntimeKind.PROCESSES, value) for key, value in keys)
    for key, kind, value in of_kind:
        if value is not None and kind is not runtime.kind:
            yield ("runtime", *key.split(".")), f"runtime.{key} is for the kind {kind}, and this one is {runtime.kind}"


def _given(values: msgspec.Struct) -> list[tuple[str, Any]]:
    """Return the keys of a table that the file has."""
    return [(key, value) for key in values.__struct_fields__ if (value := getattr(values, key))]
