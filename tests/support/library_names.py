"""The names of the session library as text, for the snapshot of the public surface."""

import dataclasses
import inspect
import re
from collections.abc import Iterator
from enum import Enum
from types import FunctionType, ModuleType
from typing import Any, Generic

import msgspec


def describe_names(library: ModuleType) -> Iterator[str]:
    """Return a line for each name that the package exports, and below a class a line for each of its members."""
    for name in sorted(library.__all__):
        yield from _describe(name, getattr(library, name))


def _signature(name: str, function: Any) -> str:
    """Return names and defaults of the parameters, without types, whose text differs between Python's versions."""
    try:
        found = inspect.signature(function)
    except ValueError:  # an exception without parameters of its own
        return name
    parameters = [
        one.replace(
            annotation=inspect.Parameter.empty,
            default=_Default(one.default) if one.default is not one.empty else one.empty,
        )
        for one in found.parameters.values()
        if one.name not in ("self", "cls") and not one.name.startswith("_")
    ]
    return f"{name}{found.replace(parameters=parameters, return_annotation=inspect.Signature.empty)}"


class _Default:
    """A default of a parameter, shown without an address in memory."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __repr__(self) -> str:
        if isinstance(self._value, Enum):
            return f"{type(self._value).__name__}.{self._value.name}"
        return re.sub(r"<(?:function|factory|class) ?.*>", "...", repr(self._value))


def _describe(name: str, value: Any) -> Iterator[str]:
    """Return the lines of a name: its parameters, and of a class its members, but for those that begin with `_`."""
    if not issubclass(type(value), type):  # isinstance would ask current_session for the session of a request
        yield _signature(name, value) if type(value) is FunctionType else name
        return
    if issubclass(value, Enum):
        yield name
        yield from (f"    {name}.{one.name} = {one.value!r}" for one in value)
        return
    bases = [base.__name__ for base in value.__bases__ if base not in (object, Generic, msgspec.Struct)]
    shown = name if "Protocol" in bases or issubclass(value, dict) else _signature(name, value)
    yield " is ".join([shown, *([" ".join(bases)] if bases else [])])
    if issubclass(value, dict):
        yield from (f"    {name}[{key!r}]" for key in sorted(value.__annotations__))
        return
    fields: tuple[Any, ...] = ()
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
    elif issubclass(value, msgspec.Struct):
        fields = msgspec.structs.fields(value)
    missing = (dataclasses.MISSING, msgspec.NODEFAULT)
    defaults = {field.name: f" = {_Default(field.default)!r}" for field in fields if field.default not in missing}
    public = (member for one in value.__mro__ if one.__module__.startswith("nodes.") for member in vars(one))
    for member in sorted({member for member in public if not member.startswith("_")}):
        found = inspect.getattr_static(value, member)
        found = found.__func__ if isinstance(found, classmethod | staticmethod) else found
        shown = _signature(member, found) if inspect.isfunction(found) else member
        yield f"    {name}.{shown}{defaults.get(member, '')}"
